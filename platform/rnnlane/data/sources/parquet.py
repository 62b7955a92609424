"""Parquet files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, ClassVar, Literal
from urllib.parse import unquote

from rnnlane.config.data import Columns
from rnnlane.data.sources.column_files import (
    ColumnFileSource,
    joined_text,
    not_text,
    positions_of,
)
from rnnlane.data.sources.rows import RawRow, class_name_of, group_of, id_of
from rnnlane.data.storage import StoragePath

_BATCH_ROWS = 1024
_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class ParquetSource(ColumnFileSource):
    """Parquet files; a folder such as ``label=neg`` (Hive's partitions) gives a column too."""

    kind: Literal["parquet"]

    file_names: ClassVar[re.Pattern[str]] = re.compile(r"\.(?:parquet|pq)$", re.IGNORECASE)

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file."""
        import pyarrow.parquet as pq

        where = str(file)
        partitions = _partitions(file)
        with (
            file.filesystem.open_input_file(file.path) as stream,
            pq.ParquetFile(stream) as parquet,
        ):
            names = parquet.schema_arrow.names
            present = [*names, *(name for name in partitions if name not in names)]
            texts, label, row_id, group = positions_of(columns, present, where=where)
            needed = {present[n] for n in (*texts, label, row_id, group) if n is not None}
            stored = [name for name in names if name in needed]
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=stored):
                read = {name: _column(batch, name, partitions) for name in needed}
                parts = [_texts(read[present[n]], present[n], where=where) for n in texts]
                yield from map(
                    RawRow,
                    parts[0] if len(parts) == 1 else map(_joined, zip(*parts, strict=True)),
                    repeat(None, len(batch))
                    if label is None
                    else _names(
                        read[present[label]], class_name_of, where=f"{where} {columns.label}"
                    ),
                    repeat(None, len(batch))
                    if row_id is None
                    else _names(read[present[row_id]], id_of, where=f"{where} {columns.id}"),
                    repeat(False, len(batch)),
                    repeat(None, len(batch))
                    if group is None
                    else _names(read[present[group]], group_of, where=f"{where} {columns.group}"),
                )

    def records_of(self, file: StoragePath) -> Iterator[Mapping[str, Any]]:
        """See :meth:`ColumnFileSource.records_of`."""
        import pyarrow.parquet as pq

        partitions = _partitions(file)
        with (
            file.filesystem.open_input_file(file.path) as stream,
            pq.ParquetFile(stream) as parquet,
        ):
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                yield from ({**partitions, **row} for row in batch.to_pylist())


def _partitions(file: StoragePath) -> dict[str, str | None]:
    """The columns that the folders of a path stand for: ``label=neg/part-0.parquet``."""
    folders = file.path.split("/")[:-1]
    found = [match for folder in folders if (match := _PARTITION.fullmatch(folder))]
    values = {unquote(match[1]): unquote(match[2]) for match in found}
    return {name: None if value == _NULL_PARTITION else value for name, value in values.items()}


def _column(batch: Any, name: str, partitions: Mapping[str, str | None]) -> Any:
    """A column of a batch as a pyarrow array; of a partition, the same value for all rows."""
    import pyarrow as pa

    if name not in batch.schema.names:
        return pa.array([partitions[name]] * len(batch), pa.string())
    column = batch.column(name)
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _joined(parts: Sequence[bytes | None]) -> bytes | None:
    return joined_text(parts, b"\n")


def _texts(column: Any, name: str, *, where: str) -> list[bytes | None]:
    import pyarrow as pa

    if not (_holds_text(column) or pa.types.is_null(column.type)):
        raise not_text(name, str(column.type), where=where)
    return _bytes_of(column)


def _names(column: Any, name_of: Callable[..., str | None], *, where: str) -> Iterator[str | None]:
    """Labels or ids; texts are decoded one by one, because pyarrow stops where one is not UTF-8."""
    for value in _bytes_of(column) if _holds_text(column) else column.to_pylist():
        yield name_of(value, where=where)


def _holds_text(column: Any) -> bool:
    from pyarrow import types

    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_binary_view,
    )
    return any(is_of_type(column.type) for is_of_type in tests)


def _bytes_of(column: Any) -> list[bytes | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    values: list[bytes | None] = pc.cast(column, pa.large_binary()).to_pylist()
    return values
