"""Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from rnnlane.config.experiment import Columns
from rnnlane.data.sources.column_files import (
    ColumnFileSource,
    check_columns,
    named_columns,
    not_text,
)
from rnnlane.data.sources.rows import RawRow, class_name_of, id_of
from rnnlane.data.storage import StoragePath

_BATCH_ROWS = 1024


class ParquetSource(ColumnFileSource):
    """Parquet files."""

    kind: Literal["parquet"]

    file_names: ClassVar[re.Pattern[str]] = re.compile(r"\.(?:parquet|pq)$", re.IGNORECASE)

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file."""
        import pyarrow.parquet as pq

        where = str(file)
        names = list(named_columns(columns).values())
        with (
            file.filesystem.open_input_file(file.path) as stream,
            pq.ParquetFile(stream) as parquet,
        ):
            check_columns(columns, parquet.schema_arrow.names, where=where)
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                texts = _texts(batch.column(columns.text), columns.text, where=where)
                labels = _class_names(batch.column(columns.label), columns.label, where=where)
                ids: Iterable[str | None] = [None] * len(batch)
                if columns.id is not None:
                    ids = map(id_of, batch.column(columns.id).to_pylist())
                yield from map(RawRow, texts, labels, ids)


def _texts(column: Any, name: str, *, where: str) -> list[bytes | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column, types = _without_dictionary(column), pa.types
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_binary,
        types.is_large_binary,
        types.is_null,
    )
    if not any(is_of_type(column.type) for is_of_type in tests):
        raise not_text(name, str(column.type), where=where)
    texts: list[bytes | None] = pc.cast(column, pa.large_binary()).to_pylist()
    return texts


def _class_names(column: Any, name: str, *, where: str) -> Iterator[str | None]:
    for value in _without_dictionary(column).to_pylist():
        label = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        yield class_name_of(label, where=f"{where} {name}")


def _without_dictionary(column: Any) -> Any:
    """A pyarrow array with a dictionary's indices replaced by its values."""
    import pyarrow as pa

    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
