"""Tables of which a column holds the texts to classify, and the same tables with the answers."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rnnlane.config.experiment import DataConfig
from rnnlane.config.sources import source_class
from rnnlane.data.text_files import decode_text
from rnnlane.errors import DataError, first_line

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


@dataclass(frozen=True)
class TextTable:
    """Texts to classify, and the table that they are a column of.

    Attributes:
        texts: of N rows, in their order; empty where a row has none.
        rows: of each row the values by column; a column may be missing.
        columns: their names, in order.
        kind: csv, jsonl or parquet; None for texts alone.
        delimiter: of a csv table.
        num_broken: lines or texts with bytes that were not UTF-8, and were replaced.
        num_missing: rows without a text.
        arrow: of a Parquet table its columns, whose types the answer keeps.
    """

    texts: list[str]
    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]
    kind: str | None = None
    delimiter: str = ","
    num_broken: int = 0
    num_missing: int = 0
    arrow: pa.Table | None = field(default=None, repr=False)

    @classmethod
    def of_texts(cls, texts: Sequence[str], *, num_broken: int = 0) -> TextTable:
        """A table of texts alone."""
        rows = [{"text": text} for text in texts]
        return cls(list(texts), rows, ("text",), num_broken=num_broken)


def read_table(file: Path, data: DataConfig) -> TextTable:
    """Reads a table, of which the experiment says what column holds the texts.

    Args:
        file: csv, jsonl or Parquet by its name; as for data, ``.gz`` and the like are decompressed.
        data: of the run's experiment; how its csv files are delimited holds for this one too.

    Raises:
        DataError: the file cannot be read, is damaged, or has no such column.
    """
    kind, where = table_kind(file.name), str(file)
    content = _decompressed(file)
    if kind == "parquet":
        return _read_parquet(content, data.columns.text, where=where)
    remedy = f"give a table whose name ends in what it is: {SUFFIXES}"
    text, num_broken = decode_text(content, where=where, remedy=remedy)
    if kind == "jsonl":
        rows, delimiter = list(_json_rows(text, where=where)), ","
        columns = tuple(dict.fromkeys(key for row in rows for key in row))
    else:
        delimiter = _delimiter(file, data)
        columns, rows = _csv_rows(text, delimiter, where=where)
    _check_columns(columns, data.columns.text, where=where)
    values = [row.get(data.columns.text) for row in rows]
    texts, num_missing, _ = _as_texts(values, data.columns.text, where=where)
    return TextTable(
        texts,
        rows,
        columns,
        kind=kind,
        delimiter=delimiter,
        num_broken=num_broken,
        num_missing=num_missing,
    )


def _decompressed(file: Path) -> bytes:
    import pyarrow as pa

    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            return bytes(stream.read())
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"cannot read the table: {reason}", where=str(file)) from None


def _delimiter(file: Path, data: DataConfig) -> str:
    if data.source.kind == "csv":
        return str(cast(Any, data.source).delimiter)
    return "\t" if ".tsv" in file.name.lower() else ","


def _csv_rows(
    text: str, delimiter: str, *, where: str
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        header = tuple(name.strip() for name in next(reader, []))
        for fields in reader:
            if len(fields) > len(header):
                raise DataError(
                    f"a row must have at most {len(header)} fields like the header, "
                    f"but got {len(fields)}",
                    where=f"{where}:{reader.line_num}",
                    remedy="put a text that holds the delimiter in double quotes",
                )
            if fields:
                rows.append(dict(zip(header, fields, strict=False)))
    except csv.Error as error:
        raise DataError(
            f"not valid csv: {error}",
            where=f"{where}:{reader.line_num}",
            remedy="check the quotes: each must be closed, and one within a field doubled",
        ) from None
    return header, rows


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


def _read_parquet(content: bytes, text: str, *, where: str) -> TextTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except pa.ArrowException as error:
        raise DataError(f"not a readable Parquet file: {first_line(error)}", where=where) from None
    columns = tuple(table.column_names)
    _check_columns(columns, text, where=where)
    texts, num_missing, num_broken = _as_texts(table[text].to_pylist(), text, where=where)
    return TextTable(
        texts,
        table.to_pylist(),
        columns,
        kind="parquet",
        num_broken=num_broken,
        num_missing=num_missing,
        arrow=table,
    )


def _check_columns(columns: Sequence[str], text: str, *, where: str) -> None:
    shown = ", ".join(map(repr, columns)) or "none"
    if len(set(columns)) != len(columns):
        raise DataError(
            f"the columns of a table must differ, but they are {shown}",
            where=where,
            remedy="rename one of those that are equal",
        )
    if text not in columns:
        raise DataError(
            f"the texts are in the column {text!r}, as in the run's experiment, but the columns "
            f"of this table are {shown}",
            where=where,
            remedy="rename the column that holds the texts; the delimiter is the experiment's too",
        )


def _as_texts(values: Sequence[Any], column: str, *, where: str) -> tuple[list[str], int, int]:
    """The texts, how many are missing, and how many were broken UTF-8 and repaired."""
    texts, num_broken = [], 0
    for row, value in enumerate(values, start=1):
        if isinstance(value, bytes):
            text = value.decode("utf-8", "replace")
            num_broken += text.encode() != value
        elif value is None or isinstance(value, str):
            text = value or ""
        else:
            raise DataError(
                f"column {column!r} must hold text, but got {type(value).__name__} in row {row}",
                where=where,
                remedy="make it text, or rename the column that holds the texts",
            )
        texts.append(text)
    if num_broken > 0.01 * len(values):
        raise DataError(
            f"column {column!r} must hold UTF-8, but {num_broken} of {len(values)} texts are not",
            where=where,
            remedy="make the file again, with its texts as UTF-8",
        )
    return texts, sum(not value for value in values), num_broken


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
            remedy="rename the table's column",
        )
    if kind == "parquet":
        return _parquet_bytes(table, answers)
    answer_rows = zip(*answers.values(), strict=True)
    if kind == "jsonl":
        return b"".join(
            _json_line({**row, **dict(zip(answers, answer, strict=True))})
            for row, answer in zip(table.rows, answer_rows, strict=True)
        )
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([*table.columns, *answers])
    for row, answer in zip(table.rows, answer_rows, strict=True):
        writer.writerow([*(_csv_cell(row.get(name)) for name in table.columns), *answer])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _json_line(row: Mapping[str, Any]) -> bytes:
    line = json.dumps(row, ensure_ascii=False, default=_plain)
    line = _UNSAFE_IN_LINES.sub(lambda match: f"\\u{ord(match.group()):04x}", line)
    return line.encode() + b"\n"


def _csv_cell(value: Any) -> Any:
    is_nested = isinstance(value, dict | list)
    return json.dumps(value, ensure_ascii=False, default=_plain) if is_nested else _plain(value)


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
            name: _arrow_column(name, [row.get(name) for row in table.rows])
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
