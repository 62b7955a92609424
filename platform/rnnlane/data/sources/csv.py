"""Files of delimiter-separated values."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from rnnlane.config.data import Columns
from rnnlane.data.sources.column_files import Positions, joined_text, positions_of, shown_names
from rnnlane.data.sources.rows import RawRow, class_name_of, group_of, id_of
from rnnlane.data.sources.swallowed_rows import SwallowedRows
from rnnlane.data.sources.text_files import COMPRESSED, TextFileSource, encoded
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError

_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "semicolon": ";", "pipe": "|", "comma": ","}
_USUAL_DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma"}
_NO_QUOTING = "if quotes mean nothing in this file, set data.source.quoting: none"


def _delimiter(value: Any) -> str:
    """The character that a setting stands for."""
    character = _DELIMITER_NAMES.get(value, value) if isinstance(value, str) else None
    if character == "":
        raise ValueError(
            "must be one character, but got ''; YAML reads a bare | as the start of a block: "
            "write pipe, or '|' in quotes"
        )
    if character is None or len(character) != 1 or character in '"\r\n\0':
        raise ValueError(
            "must be one character that is neither a quote nor a line end, or tab, semicolon, pipe "
            f"or comma, but got {value!r}"
        )
    return character


class CsvSource(TextFileSource):
    """Files of delimiter-separated values, with or without a header line."""

    kind: Literal["csv"]
    delimiter: Annotated[str, BeforeValidator(_delimiter, json_schema_input_type=str)] = Field(
        ",", description="Separates two fields: a character, or tab, semicolon or pipe."
    )
    quoting: Literal["standard", "none"] = Field(
        "standard",
        description='standard: a field in double quotes may hold delimiters, line ends and "". '
        "none: a row is a line, and a quote is a character like any other.",
    )
    header: bool = Field(
        True,
        description="Whether the first line has the names of the columns. Without it the columns "
        "are numbered from 1: columns: {label: 1, text: 2}.",
    )

    file_names: ClassVar[re.Pattern[str]] = re.compile(r"\.(?:csv|tsv)" + COMPRESSED, re.IGNORECASE)

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file.

        A row that is too short has NULLs at its end. One that is too long is refused, as its
        values may be in the wrong columns.
        """
        where = str(file)
        records = self._records(file)
        first = next(records)
        positions = self._positions(first[0], columns, where=where)
        # Without labels, nothing tells rows in a quoted field from the lines of a text.
        swallowed = (
            None
            if positions.label is None
            else SwallowedRows(self.delimiter, len(first[0]), label=positions.label)
        )
        for fields, line, num_lines in records if self.header else chain([first], records):
            if swallowed is not None:
                swallowed.see(fields, line=line, num_lines=num_lines)
            yield _row(fields, positions, where=f"{where}:{line}")
        if swallowed is not None:
            swallowed.check(where=where, remedy=f"close the quote; {_NO_QUOTING}")

    def records_of(self, file: StoragePath) -> Iterator[Mapping[str, Any]]:
        """See :meth:`ColumnFileSource.records_of`; of columns of one name, the last counts."""
        records = self._records(file)
        first = next(records)
        names = self._names(first[0])
        for fields, _, _ in records if self.header else chain([first], records):
            yield dict(zip(names, fields, strict=True))

    def _records(self, file: StoragePath) -> Iterator[tuple[list[Any], int, int]]:
        """The records of a file, the header too: fields, the first line, the number of lines.

        Raises:
            DataError: there is none, one is not valid, or has more fields than the first.
        """
        where = str(file)
        reader = self._reader(_not_json(self.lines(file), where=where))
        line, width = 1, 0  # where the record begins that is read
        try:
            for record in reader:
                fields = record
                if fields and not width:
                    width = len(fields)
                elif fields and len(fields) != width:
                    fields = _padded(fields, width, where=f"{where}:{line}")
                if fields:
                    yield fields, line, reader.line_num + 1 - line
                line = reader.line_num + 1
        except csv.Error as error:
            raise _not_csv(error, where=f"{where}:{line}") from None
        if not width:
            raise DataError("a csv file must hold at least one line, but is empty", where=where)

    def _reader(self, lines: Iterator[str]) -> Any:
        csv.field_size_limit(sys.maxsize)
        # strict: otherwise an unclosed quote would turn the rest of the file into one field.
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL,
            strict=True,
            skipinitialspace=self.delimiter != " ",
        )

    def _positions(self, first: Sequence[str], columns: Columns, *, where: str) -> Positions:
        """Where the columns to read are, by the first record."""
        hint = _hint(first, self.header)
        try:
            return positions_of(columns, self._names(first), where=where, hint=hint)
        except DataError:
            self._check_delimiter(first, columns, where=where)
            raise

    def _names(self, first: Sequence[str]) -> list[str]:
        """The names of the columns, by the first record."""
        if self.header:
            return [name.strip() for name in first]
        return [str(number) for number in range(1, len(first) + 1)]

    def _check_delimiter(self, first: Sequence[str], columns: Columns, *, where: str) -> None:
        """Refuses a first record in which another delimiter separates the fields.

        Raises:
            DataError: names the delimiter.
        """
        line = self.delimiter.join(first)
        named = {*columns.texts, *([] if columns.label is None else [columns.label])}
        needed = named if self.header else set()
        for delimiter, word in _USUAL_DELIMITERS.items():
            names = [name.strip(' "') for name in line.split(delimiter)]
            if len(names) == 1 or delimiter == self.delimiter:
                continue
            if needed <= set(names) or (len(first) == 1 and delimiter != ","):
                raise DataError(
                    f"the delimiter is {self.delimiter!r}, but the first line looks separated by "
                    f"{delimiter!r}: {shown_names([line])}",
                    where=where,
                    remedy=f"set data.source.delimiter: {word}",
                )


def _not_json(lines: Iterator[str], *, where: str) -> Iterator[str]:
    """The lines, unless they are JSON, of which csv understands some."""
    first = next(lines, "")
    if first.startswith(('{"', "[{")):
        raise DataError(
            f"the first line must be csv, but is JSON: {shown_names([first.rstrip()])}",
            where=where,
            remedy="set data.source.kind: jsonl",
        )
    return chain([first], lines) if first else lines


def _hint(first: Sequence[str], has_header: bool) -> str:
    """What to do where no name of a column is similar to the one that is missing."""
    if not has_header:
        return "columns of a file without a header line are numbered: set data.columns.{role}: 1"
    if any("\udc80" <= char <= "\udcff" for name in first for char in name):
        return "the first line is not in the encoding of data.source.encoding: set it"
    return "set data.columns.{role}, or data.source.header: false if the first line is a row"


def _padded(fields: list[str], width: int, *, where: str) -> list[Any]:
    if len(fields) > width:
        raise DataError(
            f"a row must have at most {width} fields like the first line, but got {len(fields)}",
            where=where,
            remedy="put a text that holds the delimiter in double quotes, or set "
            "data.source.delimiter",
        )
    return [*fields, *[None] * (width - len(fields))]


def _row(fields: Sequence[str], positions: Positions, *, where: str) -> RawRow:
    texts, label, row_id, group = positions
    text = fields[texts[0]] if len(texts) == 1 else joined_text([fields[n] for n in texts], "\n")
    return RawRow(
        encoded(text),
        None if label is None else class_name_of(fields[label], where=where),
        None if row_id is None else id_of(fields[row_id], where=where),
        group=None if group is None else group_of(fields[group], where=where),
    )


def _not_csv(error: csv.Error, *, where: str) -> DataError:
    if "unexpected end of data" in str(error):
        message = "a quoted field must end, but the quote of the row that begins here is not closed"
    else:
        message = f"a row must be valid csv, but the one that begins here is not: {error}"
    return DataError(
        message, where=where, remedy=f"close each quote, and double one in a text; {_NO_QUOTING}"
    )
