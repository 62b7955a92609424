from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from rnnlane.reports.classes import describe_classes, metric_notes, write_class_tables

NAMES = ("ham", "spam", 'x,"y\nz')
MATRIX = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])


def test_a_class_without_rows_has_no_metrics() -> None:
    ham, _, absent = describe_classes({"test": MATRIX}, NAMES)["classes"]
    assert ham["class"] == "ham"
    assert (ham["recall"], ham["rows"]) == (0.8, 10)
    assert absent == {"class": NAMES[2], "precision": None, "recall": None, "f1": None, "rows": 0}


def test_the_confused_pairs_have_names() -> None:
    assert describe_classes({"test": MATRIX}, NAMES)["confused"] == [
        {"true": "ham", "predicted": "spam", "rows": 2, "share": 0.2},
        {"true": "spam", "predicted": "ham", "rows": 1, "share": 0.25},
    ]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        pytest.param([[8, 2], [1, 9]], [], id="better-than-the-majority"),
        pytest.param(
            [[9, 0], [1, 0]],
            ["val accuracy 0.9000 is no better than always answering 'a' (90.0% of its rows)"],
            id="one-answer",
        ),
        pytest.param(
            [[5, 4], [0, 1]],
            ["val accuracy 0.6000 is no better than always answering 'a' (90.0% of its rows)"],
            id="worse-than-the-majority",
        ),
        pytest.param(
            [[9, 1], [0, 0]],
            ["val has no row of 1 of the 2 classes (b): its macro F1 is over the other 1"],
            id="absent-class",
        ),
        pytest.param([[0, 0], [0, 0]], [], id="no-row"),
    ],
)
def test_a_person_is_told_what_a_figure_hides(matrix: list[list[int]], expected: list[str]) -> None:
    assert metric_notes(np.array(matrix), ("a", "b"), split="val") == expected


def test_long_lists_of_absent_classes_are_cut() -> None:
    names = [f"c{number}" for number in range(9)]
    matrix = np.zeros((9, 9), dtype=int)
    matrix[0, 0] = 5
    (note,) = metric_notes(matrix, names, split="test")
    assert "8 of the 9 classes (c1, c2, c3, c4, c5 and 3 more)" in note


def test_the_tables_hold_any_name_and_all_pairs(tmp_path: Path) -> None:
    write_class_tables(tmp_path, {"val": MATRIX}, NAMES)
    with (tmp_path / "val_classes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == list(NAMES)
    assert (rows[0]["recall"], rows[2]["recall"]) == ("0.8", "")
    with (tmp_path / "val_confused.csv").open(newline="") as stream:
        assert [row["rows"] for row in csv.DictReader(stream)] == ["2", "1"]
