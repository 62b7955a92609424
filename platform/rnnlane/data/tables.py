"""Tables of which a column holds the texts to classify, and the same tables with the answers."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnnlane.config.data import DataConfig
from rnnlane.config.sources import source_class
from rnnlane.data.sources.column_files import columns_named
from rnnlane.data.text_files import MAX_BROKEN_SHARE, decode_text
from rnnlane.errors import DataError, first_line
from rnnlane.records.plain_text import finite

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("csv", "jsonl", "parquet")
SUFFIXES = ".csv, .tsv, .jsonl or .parquet"

# In JSON these may stand as they are, but programs that read line by line end a line at some.
_UNSAFE_IN_LINES = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def table_kind(name: str) -> str | None:
    """The kind of table that a file's name tells: csv, jsonl or parquet; None for no table."""
    for kind in KINDS:
        names = cast(Any, source_class(kind)).file_names
        if names.search(name):
            return kind
    return None


def is_tsv(name: str) -> bool:
    """Whether the name tells that tabs delimit, whatever does in the experiment's own files."""
    return bool(re.search(r"\.tsv(?:\.\w+)?$", name, re.IGNORECASE))


@dataclass(frozen=True)
class TextTable:
    """Texts to classify, and the table that they are a column of.

    Attributes:
        texts: of N rows, in their order; empty where a row has none.
        rows: of each row the values by column; a column may be missing. Empty for texts alone.
        columns: their names, in order.
        kind: csv, jsonl or parquet; None for texts alone.
        delimiter: of a csv table.
        num_broken: lines or texts with bytes that were not UTF-8, and were replaced.
        num_missing: rows without a text.
        arrow: of a Parquet table its columns, whose types the answer keeps.
        where: the file, for errors.
    """

    texts: list[str]
    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]
    kind: str | None = None
    delimiter: str = ","
    num_broken: int = 0
    num_missing: int = 0
    arrow: pa.Table | None = field(default=None, repr=False)
    where: str | None = None

    @classmethod
    def of_texts(cls, texts: Sequence[str], *, num_broken: int = 0) -> TextTable:
        """A table of texts alone."""
        return cls(list(texts), (), ("text",), num_broken=num_broken)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """The rows, also of texts alone."""
        return iter(self.rows) if self.kind else ({"text": text} for text in self.texts)


def read_table(file: Path, data: DataConfig) -> TextTable:
    """Reads a table, of which the experiment says what column holds the texts.

    Args:
        file: csv, jsonl or Parquet by its name; as for data, ``.gz`` and the like are decompressed.
        data: of the run's experiment; its columns and the settings of its source hold here too.

    Raises:
        DataError: the file cannot be read, is damaged, or has no such column.
    """
    kind, where = table_kind(file.name), str(file)
    layout = _Layout.of(file, data)
    content = _decompressed(file)
    if kind == "parquet":
        return _read_parquet(content, layout, where=where)
    text, num_broken = decode_text(
        content,
        where=where,
        encoding=layout.encoding,
        remedy=f"give a table whose name ends in what it is: {SUFFIXES}",
    )
    if kind == "jsonl":
        rows = list(_json_rows(text, where=where))
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
    else:
        columns, rows = _csv_rows(text, layout, where=where)
    parts = [_column(rows, columns, name, where=where) for name in layout.texts]
    texts, _ = _as_texts(parts, layout.texts, where=where)
    return TextTable(
        texts,
        rows,
        columns,
        kind=kind,
        delimiter=layout.delimiter,
        num_broken=num_broken,
        num_missing=texts.count(""),
        where=where,
    )


@dataclass(frozen=True)
class _Layout:
    """How the experiment lays out a table.

    Attributes:
        texts: the columns whose texts together are the text.
        delimiter: of csv.
        encoding: of csv and jsonl without a byte order mark.
        is_quoted: of csv, whether a field may stand in quotes.
        has_header: of csv, whether the first line names the columns; else they are numbered from 1.
    """

    texts: tuple[str, ...]
    delimiter: str
    encoding: str
    is_quoted: bool
    has_header: bool

    @classmethod
    def of(cls, file: Path, data: DataConfig) -> _Layout:
        text, source = data.columns.text, data.source
        own = getattr(source, "delimiter", ",")
        return cls(
            texts=(text,) if isinstance(text, str) else tuple(text),
            delimiter="\t" if is_tsv(file.name) else own,
            encoding=getattr(source, "encoding", "utf-8"),
            is_quoted=getattr(source, "quoting", "standard") != "none",
            has_header=getattr(source, "header", True),
        )


def _decompressed(file: Path) -> bytes:
    import pyarrow as pa

    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            return bytes(stream.read())
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"cannot read the table: {reason}", where=str(file)) from None


def _csv_rows(
    text: str, layout: _Layout, *, where: str
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.is_quoted else csv.QUOTE_NONE,
        strict=True,
        skipinitialspace=layout.delimiter != " ",
    )
    rows = []
    try:
        first = next(filter(None, reader), [])
        # Spreadsheets write columns of nothing at the end, all without a name.
        columns = tuple(
            name.strip() or f"Unnamed: {number}" for number, name in enumerate(first, start=1)
        )
        if not layout.has_header:
            columns = tuple(str(number) for number in range(1, len(first) + 1))
        _check_differ(columns, where=where)
        for fields in reader if layout.has_header else chain([first], reader):
            if len(fields) > len(columns):
                raise DataError(
                    f"a row must have at most {len(columns)} fields like the first line, "
                    f"but got {len(fields)}",
                    where=f"{where}:{reader.line_num}",
                    remedy="put a text that holds the delimiter in double quotes",
                )
            if fields:
                rows.append(dict(zip(columns, fields, strict=False)))
    except csv.Error as error:
        raise DataError(
            f"not valid csv: {error}",
            where=f"{where}:{reader.line_num}",
            remedy="check the quotes: each must be closed, and one within a field doubled",
        ) from None
    return columns, rows


def _json_rows(text: str, *, where: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"not valid JSON: {str(error).split(': line')[0]}"
            raise _bad_json(reason, where=f"{where}:{number}") from None
        if not isinstance(row, dict):
            reason = f"a line must hold a JSON object, but got {type(row).__name__}"
            raise _bad_json(reason, where=f"{where}:{number}")
        yield row


def _bad_json(reason: str, *, where: str) -> DataError:
    return DataError(reason, where=where, remedy="put one JSON object on each line")


def _read_parquet(content: bytes, layout: _Layout, *, where: str) -> TextTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except pa.ArrowException as error:
        raise DataError(f"not a readable Parquet file: {first_line(error)}", where=where) from None
    columns = tuple(table.column_names)
    _check_differ(columns, where=where)
    rows = table.to_pylist()
    parts = [_column(rows, columns, name, where=where) for name in layout.texts]
    texts, num_broken = _as_texts(parts, layout.texts, where=where)
    return TextTable(
        texts,
        rows,
        columns,
        kind="parquet",
        num_broken=num_broken,
        num_missing=texts.count(""),
        arrow=table,
        where=where,
    )


def _check_differ(columns: Sequence[str], *, where: str) -> None:
    if len(set(columns)) != len(columns):
        raise DataError(
            f"the columns of a table must differ, but they are {_listed(columns)}",
            where=where,
            remedy="rename one of those that are equal",
        )


def _listed(names: Sequence[str], *, most: int = 12, chars: int = 40) -> str:
    cut = [name if len(name) <= chars else f"{name[:chars]}..." for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, cut)) or "none") + more


def _column(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], name: str, *, where: str
) -> list[Any]:
    """The values of a column; of a name such as ``body.text``, within the objects of ``body``.

    As in a source, invisible characters and blanks around a name make no difference.

    Raises:
        DataError: there is no such column.
    """
    found = columns_named(name, columns)
    if len(found) == 1:
        return [row.get(columns[found[0]]) for row in rows]
    outer, _, inner = name.partition(".")
    values = [row.get(outer) for row in rows]
    objects = [value if isinstance(value, dict) else {} for value in values]
    keys = tuple(dict.fromkeys(key for each in objects for key in each))
    if inner and keys:
        return _column(objects, keys, inner, where=where)
    raise DataError(
        f"the texts are in the column {name!r}, as in the run's experiment, but the columns of "
        f"this table are {_listed(columns)}",
        where=where,
        remedy="rename the column that holds the texts; the delimiter is the experiment's too",
    )


def _as_texts(
    parts: Sequence[Sequence[Any]], names: Sequence[str], *, where: str
) -> tuple[list[str], int]:
    """The texts of one or several columns, and how many were broken UTF-8 and repaired."""
    checked = [
        [_text(value, name, row, where=where) for row, value in enumerate(values, start=1)]
        for name, values in zip(names, parts, strict=True)
    ]
    texts = ["\n".join(filter(None, pieces)) for pieces in zip(*checked, strict=True)]
    num_broken = sum(
        isinstance(value, bytes) and "\ufffd" in value.decode("utf-8", "replace")
        for values in parts
        for value in values
    )
    if num_broken > MAX_BROKEN_SHARE * len(texts):
        raise DataError(
            f"texts must be UTF-8, but {num_broken} of {len(texts)} are not",
            where=where,
            remedy="make the file again, with its texts as UTF-8",
        )
    return texts, num_broken


def _text(value: Any, name: str, row: int, *, where: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, str) or value != value:  # noqa: PLR0124 - NaN
        return value if isinstance(value, str) else ""
    raise DataError(
        f"column {name!r} must hold text, but got {type(value).__name__} in row {row}",
        where=where,
        remedy="make it text, or rename the column that holds the texts",
    )


def answered_table(
    table: TextTable, answers: Mapping[str, Sequence[Any]], *, kind: str, delimiter: str = ","
) -> bytes:
    """The content of a file with the rows of a table, all their columns, and the answers.

    Args:
        table: N rows.
        answers: columns of N values.
        kind: csv, jsonl or parquet.
        delimiter: for csv.

    Raises:
        DataError: the table has a column of an answer's name, or one whose values Parquet cannot
            hold together.
    """
    taken = [name for name in answers if name in table.columns]
    if taken:
        raise DataError(
            f"the answers are written into the column {taken[0]!r}, but the table has one already",
            where=table.where,
            remedy="rename the table's column",
        )
    if kind == "parquet":
        return _parquet_bytes(table, answers)
    answer_rows = zip(*answers.values(), strict=True)
    if kind == "jsonl":
        return b"".join(
            _json_line({**row, **dict(zip(answers, answer, strict=True))})
            for row, answer in zip(table.records(), answer_rows, strict=True)
        )
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([*table.columns, *answers])
    for row, answer in zip(table.records(), answer_rows, strict=True):
        writer.writerow([*(_csv_cell(row.get(name)) for name in table.columns), *answer])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _json_line(row: Mapping[str, Any]) -> bytes:
    line = _json(row)
    line = _UNSAFE_IN_LINES.sub(lambda match: f"\\u{ord(match.group()):04x}", line)
    return line.encode() + b"\n"


def _csv_cell(value: Any) -> Any:
    is_nested = isinstance(value, dict | list)
    return _json(value) if is_nested else _plain(value)


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """A value that JSON lacks, such as a date, as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _parquet_bytes(table: TextTable, answers: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = table.arrow
    if arrow is None:
        columns = {
            name: _arrow_column(name, [row.get(name) for row in table.records()])
            for name in table.columns
        }
        arrow = pa.table(columns)
    for name, values in answers.items():
        arrow = arrow.append_column(name, pa.array(values))
    stream = io.BytesIO()
    pq.write_table(arrow, stream, compression="zstd")
    return stream.getvalue()


def _arrow_column(name: str, values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    # Half a surrogate pair, which JSON can express.
    whole = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
    try:
        return pa.array(whole)
    except (pa.ArrowException, UnicodeError, OverflowError) as error:
        raise DataError(
            f"a column of a Parquet file has one type, but {name!r} has several: "
            f"{first_line(error)}",
            where="--output",
            remedy="write a .jsonl file",
        ) from None
