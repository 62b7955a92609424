from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.data.sources.rows import BLOCK_BYTES, RAW_SCHEMA, RawRow, class_name_of, tables_of
from rnnlane.errors import DataError

sizes = st.lists(st.integers(0, BLOCK_BYTES // 3), max_size=12)


@given(sizes)
def test_tables_hold_every_row_in_order_and_stay_small(lengths: list[int]) -> None:
    rows = [RawRow(bytes(length), str(n)) for n, length in enumerate(lengths)]
    tables = list(tables_of(rows))
    assert [label for table in tables for label in table["label"].to_pylist()] == [
        row.label for row in rows
    ]
    for table in tables:
        texts = table["text"].to_pylist()
        assert sum(map(len, texts[:-1])) < BLOCK_BYTES


def test_many_rows_without_text_do_not_gather_in_one_table() -> None:
    assert len(list(tables_of([RawRow(None, None)] * (BLOCK_BYTES // 64 + 1)))) == 2


def test_the_schema_holds_for_nulls_alone() -> None:
    (table,) = tables_of([RawRow(None, None)])
    assert table.schema == RAW_SCHEMA
    assert table.to_pylist() == [{"text": None, "label": None, "id": None, "official_test": False}]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("pos", "pos"),
        (" pos\n", "pos"),
        ("1.0", "1.0"),
        ("", None),
        (None, None),
        (float("nan"), None),
        (1, "1"),
        (1.0, "1"),
        (-2.0, "-2"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_labels_of_any_type_become_class_names(value: object, name: str | None) -> None:
    assert class_name_of(value, where="x") == name


@pytest.mark.parametrize("value", [0.5, float("inf"), [1], {"a": 1}, b"pos"])
def test_a_label_that_is_no_class_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="a label must be") as caught:
        class_name_of(value, where="file:3 label")
    assert caught.value.where == "file:3 label"
