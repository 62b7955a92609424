from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rnnlane.data.sources.row_tables import RAW_SCHEMA, TABLE_BYTES, tables_of
from rnnlane.data.sources.rows import RawRow

sizes = st.lists(st.integers(0, TABLE_BYTES // 3), max_size=12)


@given(sizes)
def test_tables_hold_every_row_in_order_and_stay_small(lengths: list[int]) -> None:
    rows = [RawRow(bytes(length), str(n)) for n, length in enumerate(lengths)]
    tables = list(tables_of(rows))
    assert [label for table in tables for label in table["label"].to_pylist()] == [
        row.label for row in rows
    ]
    for table in tables:
        texts = table["text"].to_pylist()
        assert sum(map(len, texts[:-1])) < TABLE_BYTES


def test_many_rows_without_text_do_not_gather_in_one_table() -> None:
    assert len(list(tables_of([RawRow(None, None)] * (TABLE_BYTES // 64 + 1)))) == 2


def test_the_schema_holds_for_nulls_alone() -> None:
    (table,) = tables_of([RawRow(None, None)])
    assert table.schema == RAW_SCHEMA
    assert [RawRow(**row) for row in table.to_pylist()] == [RawRow(None, None)]
