from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.config.experiment import DataConfig
from rnnlane.data.prepare.blocks import TOKENS_SCHEMA
from rnnlane.data.prepare.row_selection import Selection, select_rows
from rnnlane.data.prepare.splits import content_key
from rnnlane.errors import DataError

Row = dict[str, Any]


def row(text: str, label: str | None, **values: Any) -> Row:
    defaults = {
        "id": None,
        "official_test": False,
        "dropped": None,
        "invalid_utf8": False,
        "cut": False,
    }
    return {"key": content_key(text), "label": label, **defaults, **values}


def rows_of(*labels: str, count: int = 5) -> list[Row]:
    return [row(f"{label} {n}", label) for label in labels for n in range(count)]


def select(rows: list[Row], **data: Any) -> Selection:
    config = DataConfig.model_validate({"source": {"kind": "csv", "path": "x"}, **data})
    return select_rows(pa.Table.from_pylist(rows, TOKENS_SCHEMA.remove(0)), config=config, seed=0)


def test_classes_are_the_labels_found_sorted() -> None:
    assert select(rows_of("pos", "neg")).class_names == ("neg", "pos")
    assert select(rows_of("10", "9", "-1")).class_names == ("-1", "9", "10")
    assert select(rows_of("b", "2", "10")).class_names == ("2", "10", "b")


def test_configured_classes_keep_their_order() -> None:
    selection = select(rows_of("neg", "pos"), classes=("pos", "neg"))
    assert selection.class_names == ("pos", "neg")
    assert selection.assignment.labels.tolist() == [1] * 5 + [0] * 5


def test_an_unknown_label_is_refused_with_its_count() -> None:
    with pytest.raises(DataError, match=r"among 'neg', 'pos', but got 'maybe' \(5 rows\)"):
        select(rows_of("neg", "pos", "maybe"), classes=("neg", "pos"))


def test_an_unknown_label_is_dropped_and_counted_if_asked() -> None:
    selection = select(rows_of("neg", "pos", "maybe"), classes=("neg", "pos"), unknown_label="drop")
    assert selection.dropped == {"unknown_label": 5}
    assert selection.assignment.split[10:].tolist() == [-1] * 5


def test_unusable_rows_are_counted_by_reason_and_go_nowhere() -> None:
    bad = [row("x", None, dropped="null_label"), row("y", "pos", dropped="empty_text")]
    selection = select(bad + rows_of("neg", "pos"))
    assert selection.dropped == {"empty_text": 1, "null_label": 1}
    assert selection.assignment.split[:2].tolist() == [-1, -1]
    assert (selection.assignment.split[2:] >= 0).all()


@pytest.mark.parametrize("rows", [[], [row("x", None, dropped="null_label")]])
def test_no_usable_row_at_all_is_refused(rows: list[Row]) -> None:
    with pytest.raises(DataError, match="none is left"):
        select(rows)


def test_of_rows_that_share_an_id_the_smallest_key_is_kept() -> None:
    texts = ["first", "second", "third"]
    shared = [row(text, "pos", id="7") for text in texts]
    selection = select(shared + rows_of("neg", "pos"))
    keys = [content_key(text) for text in texts]
    assert selection.dropped == {"duplicate_id": 2}
    kept = np.flatnonzero(selection.assignment.split[:3] >= 0).tolist()
    assert kept == [keys.index(min(keys))]


def test_rows_without_an_id_are_all_kept() -> None:
    assert select(rows_of("neg", "pos")).dropped == {}


def test_train_and_official_test_number_their_rows_independently() -> None:
    rows = [
        row(f"{label} {side} {n}", label, id=f"{label}{n}", official_test=side == "test")
        for label in ("neg", "pos")
        for side in ("train", "test")
        for n in range(4)
    ]
    data = {"test": "official", "source": {"kind": "csv", "path": "x", "test_path": "y"}}
    selection = select(rows, **data)
    assert selection.dropped == {}
    on_test = selection.assignment.split == 2
    assert on_test.tolist() == [r["official_test"] for r in rows]


def test_an_id_on_both_sides_is_no_repetition() -> None:
    rows = [
        row(
            f"{label} {side} {n}",
            label,
            id="7" if (label, n) == ("neg", 0) else None,
            official_test=side == "test",
        )
        for label in ("neg", "pos")
        for side in ("train", "test")
        for n in range(4)
    ]
    data = {"test": "official", "source": {"kind": "csv", "path": "x", "test_path": "y"}}
    assert select(rows, **data).dropped == {}


@given(st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_partition_of_rows_matters(random: Any) -> None:
    rows = rows_of("neg", "pos", count=8)
    rows += [row(f"text {n}", "pos", id=str(n % 3)) for n in range(9)]
    rows += [row("same", "neg", id="x"), row("same", "pos", id="x"), row("neg 1", "pos")]
    shuffled = random.sample(rows, len(rows))

    def outcome(given: list[Row]) -> tuple[set[tuple[object, ...]], dict[str, int]]:
        selection = select(given)
        assignment = selection.assignment
        columns = (assignment.split, assignment.row_ids, assignment.labels)
        places = zip([r["key"] for r in given], *(c.tolist() for c in columns), strict=True)
        return {place for place in places if place[1] >= 0}, selection.dropped | selection.merged

    assert outcome(shuffled) == outcome(rows)
