from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

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


@pytest.mark.parametrize("num_classes", [2, 4, 7, 20, 41])
def test_confusion_of_few_classes_can_be_drawn(tmp_path: Path, num_classes: int) -> None:
    matrix = np.arange(num_classes**2).reshape(num_classes, num_classes)
    matrix[1] = 0  # a class without a row
    names = (NAMES * 11)[:num_classes]
    figures.save_confusion(matrix, names, tmp_path / "confusion.png")
    assert size(tmp_path / "confusion.png") > (300, 300)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_confusion_of_any_number_of_classes_has_bounded_size_and_memory(tmp_path: Path) -> None:
    # Not ru_maxrss: a process inherits that of the one that started it.
    script = """
import re
import sys
from pathlib import Path
import numpy as np
from rnnlane.reports import figures
names = [f"a class with a long name, number {i}" for i in range(2000)]
figures.save_confusion(np.ones((2000, 2000), dtype=int), names, Path(sys.argv[1]))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "c.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 500
    assert max(size(tmp_path / "c.png")) < 2200


def test_cells_of_many_classes_are_added_up() -> None:
    matrix = np.arange(25).reshape(5, 5)
    assert figures._binned(matrix, 2).tolist() == [[12, 20, 13], [52, 60, 33], [41, 45, 24]]
    assert figures._binned(matrix, 1).tolist() == matrix.tolist()


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


@pytest.mark.parametrize(("num_texts", "num_classes"), [(1, 20), (8, 2), (8, 2000), (3, 20)])
def test_confidence_of_many_classes_has_a_bounded_height(
    tmp_path: Path, num_texts: int, num_classes: int
) -> None:
    probabilities = np.full((num_texts, num_classes), 1 / num_classes)
    names = [f"class {number}" for number in range(num_classes)]
    figures.save_confidence(["text"] * num_texts, probabilities, names, tmp_path / "c.png")
    assert size(tmp_path / "c.png")[1] < 2800


@pytest.mark.parametrize("metric", ["val/accuracy", "val/macro_f1", "val/roc_auc", "val/my_own"])
def test_the_legend_covers_no_curve_and_names_macro_f1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    others = {"val/macro_f1": 0.5, "val/roc_auc": 0.5, "val/loss": 1, "val/my_own": 0.5}
    history = [{**entry, **others} for entry in HISTORY]
    figures.save_curves(history, tmp_path / "curves.png", metric=metric)
    (figure,) = drawn
    figure.canvas.draw()
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:3] == ["train", "val", "val macro F1"]
    assert ("val ROC AUC" in texts) == (metric == "val/roc_auc")
    assert ("val my own" in texts) == (metric == "val/my_own")
    assert not any(
        legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes
    )


def test_drawing_leaves_no_global_state(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    figures.save_curves(HISTORY, tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
