"""Raw rows, as every source gives them, gathered into Arrow tables of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from rnnlane.errors import DataError

BLOCK_BYTES = 2 << 20
_ROW_OVERHEAD_BYTES = 64

RAW_SCHEMA = pa.schema(
    [
        ("text", pa.large_binary()),
        ("label", pa.string()),
        ("id", pa.string()),
        ("official_test", pa.bool_()),
    ]
)


class RawRow(NamedTuple):
    """One row of a source. ``text`` is UTF-8, not checked yet; None stands for a NULL."""

    text: bytes | None
    label: str | None
    id: str | None = None
    official_test: bool = False


def tables_of(rows: Iterable[RawRow]) -> Iterator[pa.Table]:
    """Tables of :data:`RAW_SCHEMA` of some BLOCK_BYTES, or of one row that is larger.

    They are the unit of work and of memory of all that follows.
    """
    batch: list[RawRow] = []
    num_bytes = 0
    for row in rows:
        batch.append(row)
        num_bytes += len(row.text or b"") + _ROW_OVERHEAD_BYTES
        if num_bytes >= BLOCK_BYTES:
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


def class_name_of(value: object, *, where: str) -> str | None:
    """The class that a label stands for; whole numbers of any type read alike (1, 1.0 -> "1").

    Returns:
        None for a NULL, a NaN or an empty text.

    Raises:
        DataError: the value is neither text, nor a truth value, nor a whole number.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value != value:  # noqa: PLR0124 - true of NaN alone
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise DataError(
        f"a label must be text, true or false, or a whole number, but got {_shown(value)}",
        where=where,
        remedy="name the right column in data.columns.label",
    )


def id_of(value: object) -> str | None:
    """A row id as text; None for a NULL."""
    return None if value is None or value != value else str(value)  # noqa: PLR0124


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
