"""The rows of one csv, jsonl or parquet file, streamed; memory does not grow with the file."""

from __future__ import annotations

import csv
import difflib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnlane.config.experiment import Columns, CsvSource, JsonlSource, ParquetSource
from rnnlane.data.sources.rows import RawRow, class_name_of, id_of
from rnnlane.data.storage import Place, storage_error
from rnnlane.errors import DataError

FileSource = CsvSource | JsonlSource | ParquetSource

_BATCH_ROWS = 1024
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Bytes that are not UTF-8 pass through a str unharmed, to be counted where texts are cleaned.
_KEEP_BYTES = "surrogateescape"


def read_file(
    source: FileSource, place: Place, *, columns: Columns, official_test: bool
) -> Iterator[RawRow]:
    """The rows of one file, in its order.

    A gzip, bzip2, zstd or lz4 file is decompressed by its suffix. A csv row that is too short
    has NULLs at its end; one that is too long is refused, as its values may stand in the wrong
    columns.

    Args:
        source: the format.
        place: the file.
        columns: which column is what.
        official_test: what the rows say of themselves.

    Raises:
        DataError: a column is missing or of a wrong type, or the file is empty, damaged, not of
            the format or not there; names file and line or column.
    """
    where = str(place)
    with _damage_named(where, kind=source.kind):
        if isinstance(source, CsvSource):
            rows = _csv_rows(_lines(place), columns, where=where, delimiter=source.delimiter)
        elif isinstance(source, JsonlSource):
            rows = _jsonl_rows(_lines(place), columns, where=where)
        else:
            rows = _parquet_rows(place, columns)
        for row in rows:
            yield row._replace(official_test=official_test)


@contextmanager
def _damage_named(where: str, *, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise DataError(
            f"not a readable {kind} file: {reason}",
            where=where,
            remedy="check data.source.kind, or make the file again",
        ) from None
    except (OSError, EOFError) as error:
        raise storage_error(error, where=where) from None


def _lines(place: Place) -> Iterator[str]:
    """The lines of a text file, line ends kept, without a byte order mark."""
    with place.filesystem.open_input_stream(place.path, compression="detect") as stream:
        buffered = io.BufferedReader(stream)
        if buffered.peek(2)[:2] in _UTF16_MARKS:
            raise DataError("text must be UTF-8, but this is UTF-16", where=str(place))
        yield from io.TextIOWrapper(buffered, "utf-8-sig", errors=_KEEP_BYTES, newline="")


def _csv_rows(
    lines: Iterator[str], columns: Columns, *, where: str, delimiter: str
) -> Iterator[RawRow]:
    csv.field_size_limit(sys.maxsize)
    # strict: else a quote that is never closed takes the rest of the file for one field.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise DataError("a csv file must start with a header line, but is empty", where=where)
        text, label, row_id = _positions(header, columns, where=where)
        for fields in reader:
            if len(fields) > len(header):
                raise _too_many_fields(fields, header, where=f"{where}:{reader.line_num}")
            values = dict(enumerate(fields))
            if values:
                yield RawRow(
                    _encoded(values.get(text)),
                    class_name_of(values.get(label), where=where),
                    None if row_id is None else values.get(row_id) or None,
                )
    except csv.Error as error:
        raise DataError(
            f"not valid csv: {error}",
            where=f"{where}:{reader.line_num}",
            remedy="check the quotes: each must be closed, and one within a field doubled",
        ) from None


def _positions(
    header: Sequence[str], columns: Columns, *, where: str
) -> tuple[int, int, int | None]:
    for key, name in _wanted(columns):
        _check_column(key, name, header, where=where)
    row_id = header.index(columns.id) if columns.id is not None else None
    return header.index(columns.text), header.index(columns.label), row_id


def _wanted(columns: Columns) -> list[tuple[str, str]]:
    pairs = [("text", columns.text), ("label", columns.label), ("id", columns.id)]
    return [(key, name) for key, name in pairs if name is not None]


def _check_column(key: str, name: str, found: Sequence[str], *, where: str) -> None:
    if name in found:
        return
    near = difflib.get_close_matches(name, found, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"there is no column {name!r}; the columns are {', '.join(map(repr, found))}",
        where=where,
        remedy=f"{hint}set data.columns.{key}",
    )


def _too_many_fields(fields: Sequence[str], header: Sequence[str], *, where: str) -> DataError:
    return DataError(
        f"a row must have at most {len(header)} fields like the header, but got {len(fields)}",
        where=where,
        remedy="put a text that holds the delimiter in double quotes, or set data.source.delimiter",
    )


def _jsonl_rows(lines: Iterable[str], columns: Columns, *, where: str) -> Iterator[RawRow]:
    number = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _parse_object(line, where=f"{where}:{number}")
        text = record.get(columns.text)
        if text is not None and not isinstance(text, str):
            raise _not_text(columns.text, type(text).__name__, where=f"{where}:{number}")
        yield RawRow(
            _encoded(text),
            class_name_of(record.get(columns.label), where=f"{where}:{number} {columns.label}"),
            id_of(record.get(columns.id)) if columns.id is not None else None,
        )
    if not number:
        raise DataError("a jsonl file must hold at least one line, but is empty", where=where)


def _parse_object(line: str, *, where: str) -> dict[str, Any]:
    remedy = "put one JSON object on each line"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(": line")[0]
        raise DataError(f"not valid JSON: {reason}", where=where, remedy=remedy) from None
    if not isinstance(record, dict):
        message = f"a line must hold a JSON object, but got {type(record).__name__}"
        raise DataError(message, where=where, remedy=remedy)
    return record


def _encoded(text: str | None) -> bytes | None:
    """UTF-8; a lone surrogate, which JSON can spell, becomes bytes that are not."""
    if text is None:
        return None
    try:
        return text.encode("utf-8", _KEEP_BYTES)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _parquet_rows(place: Place, columns: Columns) -> Iterator[RawRow]:
    wanted = _wanted(columns)
    with place.filesystem.open_input_file(place.path) as handle, pq.ParquetFile(handle) as file:
        for key, name in wanted:
            _check_column(key, name, file.schema_arrow.names, where=str(place))
        names = [name for _, name in wanted]
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
            texts = _texts(batch.column(columns.text), columns.text, where=str(place))
            labels = _class_names(batch.column(columns.label), columns.label, where=str(place))
            ids: Iterable[Any] = [None] * len(batch)
            if columns.id is not None:
                ids = map(id_of, batch.column(columns.id).to_pylist())
            yield from map(RawRow, texts, labels, ids)


def _texts(column: pa.Array, name: str, *, where: str) -> list[bytes | None]:
    column = _plain(column)
    if not _is_text(column.type) and not pa.types.is_null(column.type):
        raise _not_text(name, str(column.type), where=where)
    texts: list[bytes | None] = pc.cast(column, pa.large_binary()).to_pylist()
    return texts


def _class_names(column: pa.Array, name: str, *, where: str) -> Iterator[str | None]:
    place = f"{where} {name}"
    values = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for value in _plain(column).to_pylist()
    ]
    return (class_name_of(value, where=place) for value in values)


def _plain(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):
        return column.dictionary_decode()
    return column


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _not_text(name: str, found: str, *, where: str) -> DataError:
    return DataError(
        f"column {name!r} must hold text, but got {found}",
        where=where,
        remedy="name the right column in data.columns.text",
    )
