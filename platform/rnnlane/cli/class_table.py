"""The classes of a split on a terminal, and the answer to the sample text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnlane.cli import output

MAX_CLASSES, NUM_WORST, NUM_CONFUSED = 12, 8, 5
_MAX_SAMPLE_CHARS = 120


def write_classes(
    classes: Sequence[Mapping[str, Any]],
    confused: Sequence[Mapping[str, Any]],
    *,
    split: str = "test",
    shows_all: bool = False,
) -> None:
    """Writes a table of the classes; above a dozen the worst few, and the most confused pairs.

    Args:
        classes: as :func:`rnnlane.reports.classes.class_metrics` gives them.
        confused: as :func:`rnnlane.reports.classes.confused_pairs` gives them.
        split: whose rows were classified.
        shows_all: whether all classes and pairs are shown, however many there are.
    """
    if not classes:
        return
    shown, title = list(classes), f"{split} by class"
    if len(classes) > MAX_CLASSES and not shows_all:
        with_rows = [one for one in classes if one["rows"]]
        shown = sorted(with_rows, key=lambda one: (one["f1"], -one["rows"]))[:NUM_WORST]
        title = f"{split}: the {len(shown)} classes of {len(classes):,} with the lowest F1"
    metrics = ("precision", "recall", "f1")
    rows = [
        [one["class"], *(_share(one[key]) for key in metrics), f"{one['rows']:,}"] for one in shown
    ]
    output.write_table(rows, header=["class", "precision", "recall", "F1", "rows"], title=title)
    if len(classes) > MAX_CLASSES:
        write_confused(confused if shows_all else confused[:NUM_CONFUSED], split=split)


def write_confused(confused: Sequence[Mapping[str, Any]], *, split: str) -> None:
    """Writes a table of confused pairs, if there are any."""
    pairs = [
        [pair["true"], pair["predicted"], f"{pair['rows']:,}", f"{pair['share']:.1%}"]
        for pair in confused
    ]
    if pairs:
        header = ["true", "predicted", "rows", "of the true class"]
        output.write_table(pairs, header=header, title=f"{split}: most confused")


def sample_rows(sample: Mapping[str, Any] | None, *, verdict: str | None = None) -> list[list[str]]:
    """The line of a verb's table that shows the answer to the sample text, if there is one.

    Where a verdict says why nobody should use the model, it takes the place of the answer.
    """
    if verdict is not None:
        return [["verdict", f"do not use this model: it is {verdict}"]]
    if sample is None:
        return []
    truth = f" (it is {sample['true_label']})" if "true_label" in sample else ""
    text = sample["text"]
    if len(text) > _MAX_SAMPLE_CHARS:
        text = f"{text[: _MAX_SAMPLE_CHARS - 4]} ..."
    probability = sample["probabilities"][sample["label"]]
    sure = "" if sample.get("is_sure", True) else ", not sure"
    return [["sample", f"{sample['label']} {probability:.1%}{sure}{truth}: {text}"]]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
