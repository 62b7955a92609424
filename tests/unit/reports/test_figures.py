from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot

from rnnlane.reports import figures

HISTORY = [
    {"epoch": e, "train/accuracy": 0.5 + e / 20, "val/accuracy": v, "train/loss": 1 / e}
    for e, v in enumerate([0.6, 0.8, 0.7], start=1)
]
NAMES = [
    "$\\frac{$",
    "Größe_^",
    "日本語",
    "a class name that goes on for very much longer than that",
]


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of a picture that is not blank."""
    pixels = matplotlib.image.imread(path)
    assert pixels.std() > 0.01
    return pixels.shape[1], pixels.shape[0]


def test_best_epoch_is_the_first_of_the_highest_or_for_a_loss_the_lowest() -> None:
    history = [{"epoch": e, "m": v, "val/loss": v} for e, v in ((1, 0.5), (2, 0.9), (3, 0.9))]
    assert figures.best_epoch(history, "m") == 2
    assert figures.best_epoch(history, "val/loss") == 1
    assert figures.best_epoch([{"epoch": 1, "m": float("nan")}], "m") is None
    assert figures.best_epoch(history, "absent") is None


@pytest.mark.parametrize("num_epochs", [0, 1, 3])
def test_curves_of_few_epochs_and_absent_metrics_can_be_drawn(
    tmp_path: Path, num_epochs: int
) -> None:
    figures.save_curves(HISTORY[:num_epochs], tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") > (900, 300)


@pytest.mark.parametrize(
    ("norms", "clip_norm"),
    [
        ([], None),
        ([], 3.0),
        ([2.0], 3.0),
        ([np.nan, np.inf, 0.0], None),
        (np.geomspace(1e-4, 330, 500), 1.9),
        (np.linspace(1.0, 2.0, 50), None),
    ],
)
def test_gradient_norms_of_any_range_can_be_drawn(
    tmp_path: Path, norms: list[float], clip_norm: float | None
) -> None:
    figures.save_gradient_norms(
        np.array(norms),
        tmp_path / "norms.png",
        clip_norm=clip_norm,
        clipped_fraction=0.25,
        source="the mean of 200 steps, $x_",
    )
    assert size(tmp_path / "norms.png") > (700, 300)


@pytest.mark.parametrize("num_classes", [2, 4, 7, 20])
def test_confusion_of_2_to_20_classes_can_be_drawn(tmp_path: Path, num_classes: int) -> None:
    matrix = np.arange(num_classes**2).reshape(num_classes, num_classes)
    matrix[1] = 0  # a class without a row
    names = (NAMES * 5)[:num_classes]
    figures.save_confusion(matrix, names, tmp_path / "confusion.png")
    assert size(tmp_path / "confusion.png") > (300, 300)


def test_more_classes_make_a_larger_picture(tmp_path: Path) -> None:
    for num_classes in (2, 20):
        matrix = np.eye(num_classes, dtype=int)
        names = [str(i) for i in range(num_classes)]
        figures.save_confusion(matrix, names, tmp_path / f"{num_classes}.png")
    assert size(tmp_path / "20.png") > size(tmp_path / "2.png")


def test_confidence_of_awkward_texts_can_be_drawn(tmp_path: Path) -> None:
    texts = ["It costs $5, not $6_x^.", "", "word " * 500, "日本語のレビュー"]
    figures.save_confidence(texts, np.full((4, 4), 0.25), NAMES, tmp_path / "confidence.png")
    assert size(tmp_path / "confidence.png") > (700, 700)


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figures.save_curves(HISTORY, tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
