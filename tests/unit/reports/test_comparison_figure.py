from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes

from rnnlane.inference.comparison import compare_runs
from rnnlane.reports.comparison_figure import save_comparison
from support.compared import kept_run, predictions_of

LABELS = np.arange(200) % 2
NAMES = ["$\\frac{$", "日本語", "a name that goes on for very much longer than that", "d", "e", "f"]


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("num_runs", [2, 8])
def test_any_number_of_runs_with_any_names_is_drawn(tmp_path: Path, num_runs: int) -> None:
    random = np.random.default_rng(0)
    runs = [
        kept_run((NAMES + NAMES)[n], predictions_of(LABELS, random.integers(0, 2, 200)))
        for n in range(num_runs)
    ]
    comparison = compare_runs(runs, split="test", num_texts=0)
    save_comparison(comparison, [run.predictions for run in runs], tmp_path / "x.png")
    pixels = matplotlib.image.imread(tmp_path / "x.png")
    assert pixels.std() > 0.01
    assert pixels.shape[1] < 1700


def test_it_draws_the_difference_and_its_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def plot(self: Axes, x: list[float], y: list[float], **_: object) -> None:
        drawn.append((x, y))

    monkeypatch.setattr(Axes, "plot", plot)
    runs = [
        kept_run("a", predictions_of(LABELS, LABELS)),
        kept_run("b", predictions_of(LABELS, np.where(np.arange(200) < 20, 1 - LABELS, LABELS))),
    ]
    comparison = compare_runs(runs, split="test", num_texts=0)
    save_comparison(comparison, [run.predictions for run in runs], tmp_path / "x.png")
    test = comparison.tests[0]
    assert drawn == [([100 * test["low"], 100 * test["high"]], [0, 0]), ([pytest.approx(-10)], [0])]
