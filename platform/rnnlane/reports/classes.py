"""How well each class is told from the others: plain values, sentences, and CSV tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.training.metrics import most_confused, per_class

# Confused pairs that a verb's result has; the run's table has all of them.
MAX_PAIRS = 10
Confusion = npt.NDArray[np.int64]


def describe_classes(
    confusions: Mapping[str, Confusion], class_names: Sequence[str], *, split: str = "test"
) -> dict[str, Any]:
    """What a verb's result says of the classes: ``classes``, ``confused`` and ``notes``.

    Args:
        confusions: counts of (true, predicted) by split, int64 [C, C]; the notes are on all.
        class_names: C names.
        split: which of them ``classes`` and ``confused`` are on.
    """
    return {
        "classes": class_metrics(confusions[split], class_names),
        "confused": confused_pairs(confusions[split], class_names, limit=MAX_PAIRS),
        "notes": [
            note
            for name, confusion in confusions.items()
            for note in metric_notes(confusion, class_names, split=name)
        ],
    }


def class_metrics(confusion: Confusion, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """For each class its name, precision, recall, f1 and rows, as plain values.

    Args:
        confusion: counts of (true, predicted), int64 [C, C].
        class_names: C names.

    Returns:
        ``class``, ``precision``, ``recall``, ``f1`` and ``rows``. For a class without rows the
        three metrics are None.
    """
    return [
        {
            "class": name,
            "precision": metrics.precision if metrics.num_rows else None,
            "recall": None if math.isnan(metrics.recall) else metrics.recall,
            "f1": None if math.isnan(metrics.f1) else metrics.f1,
            "rows": metrics.num_rows,
        }
        for name, metrics in zip(class_names, per_class(confusion), strict=True)
    ]


def confused_pairs(
    confusion: Confusion, class_names: Sequence[str], *, limit: int | None = None
) -> list[dict[str, Any]]:
    """The classes that are taken for another, those with most rows first, as plain values.

    Returns:
        ``true``, ``predicted``, ``rows`` and their ``share`` of the true class's rows.
    """
    return [
        {
            "true": class_names[pair.true],
            "predicted": class_names[pair.predicted],
            "rows": pair.num_rows,
            "share": pair.share,
        }
        for pair in most_confused(confusion, limit=limit)
    ]


def metric_notes(confusion: Confusion, class_names: Sequence[str], *, split: str) -> list[str]:
    """What a person should know before trusting the metrics of a split, in sentences."""
    num_rows = confusion.sum(axis=1)
    total = int(num_rows.sum())
    if total == 0:
        return []
    sentences = []
    absent = [name for name, rows in zip(class_names, num_rows, strict=True) if rows == 0]
    if absent:
        rest = len(class_names) - len(absent)
        sentences.append(
            f"{split} has no row of {len(absent)} of the {len(class_names)} classes "
            f"({_listed(absent)}): its macro F1 is over the other {rest}"
        )
    majority = int(num_rows.argmax())
    share, accuracy = num_rows[majority] / total, np.trace(confusion) / total
    if accuracy <= share < 1:
        sentences.append(
            f"{split} accuracy {accuracy:.4f} is no better than always answering "
            f"{class_names[majority]!r} ({share:.1%} of its rows)"
        )
    return sentences


def write_class_tables(
    folder: Path, confusions: Mapping[str, Confusion], class_names: Sequence[str]
) -> None:
    """Writes ``<split>_classes.csv`` and ``<split>_confused.csv``, which MLflow shows as tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, confusion in confusions.items():
        _write_csv(
            folder / f"{split}_classes.csv",
            ("class", "precision", "recall", "f1", "rows"),
            class_metrics(confusion, class_names),
        )
        _write_csv(
            folder / f"{split}_confused.csv",
            ("true", "predicted", "rows", "share"),
            confused_pairs(confusion, class_names),
        )


def _write_csv(file: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: round(v, 6) if isinstance(v, float) else v for key, v in row.items()}
            )


def _listed(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
