"""Raw rows gathered into Arrow tables of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from rnnlane.data.sources.rows import RawRow

TABLE_BYTES = 2 << 20
_ROW_OVERHEAD_BYTES = 64

RAW_SCHEMA = pa.schema(
    [
        ("text", pa.large_binary()),
        ("label", pa.string()),
        ("id", pa.string()),
        ("official_test", pa.bool_()),
        ("group", pa.string()),
    ]
)


def tables_of(rows: Iterable[RawRow]) -> Iterator[pa.Table]:
    """Tables of :data:`RAW_SCHEMA` of about TABLE_BYTES, or of one larger row.

    What is made of texts in Python's own objects, several times their size, is made of so many at
    a time.
    """
    batch: list[RawRow] = []
    num_bytes = 0
    for row in rows:
        batch.append(row)
        num_bytes += len(row.text or b"") + _ROW_OVERHEAD_BYTES
        if num_bytes >= TABLE_BYTES:
            yield _table(batch)
            batch, num_bytes = [], 0
    if batch:
        yield _table(batch)


def _table(batch: list[RawRow]) -> pa.Table:
    columns = [
        pa.array(column, type=field.type)
        for column, field in zip(zip(*batch, strict=True), RAW_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=RAW_SCHEMA)
