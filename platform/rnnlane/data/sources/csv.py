"""Comma-separated files."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from rnnlane.config.experiment import Columns
from rnnlane.data.sources.column_files import (
    COMPRESSED,
    ColumnFileSource,
    check_columns,
    encoded,
    text_lines,
)
from rnnlane.data.sources.rows import RawRow, class_name_of
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError


class CsvSource(ColumnFileSource):
    """Comma-separated files with a header line."""

    kind: Literal["csv"]
    delimiter: str = Field(",", min_length=1, max_length=1, description="Separates two fields.")

    file_names: ClassVar[re.Pattern[str]] = re.compile(r"\.(?:csv|tsv)" + COMPRESSED, re.IGNORECASE)

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file.

        A row that is too short has NULLs at its end. One that is too long is refused, as its
        values may be in the wrong columns.
        """
        where = str(file)
        csv.field_size_limit(sys.maxsize)
        # strict: otherwise an unclosed quote would turn the rest of the file into one field.
        reader = csv.reader(text_lines(file), delimiter=self.delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                message = "a csv file must start with a header line, but is empty"
                raise DataError(message, where=where)
            check_columns(columns, header, where=where)
            text, label = header.index(columns.text), header.index(columns.label)
            row_id = header.index(columns.id) if columns.id is not None else None
            for fields in reader:
                if len(fields) > len(header):
                    raise _too_many_fields(fields, header, where=f"{where}:{reader.line_num}")
                values = dict(enumerate(fields))
                if values:
                    yield RawRow(
                        encoded(values.get(text)),
                        class_name_of(values.get(label), where=where),
                        None if row_id is None else values.get(row_id) or None,
                    )
        except csv.Error as error:
            raise DataError(
                f"not valid csv: {error}",
                where=f"{where}:{reader.line_num}",
                remedy="check the quotes: each must be closed, and one within a field doubled",
            ) from None


def _too_many_fields(fields: Sequence[str], header: Sequence[str], *, where: str) -> DataError:
    return DataError(
        f"a row must have at most {len(header)} fields like the header, but got {len(fields)}",
        where=where,
        remedy="put a text that holds the delimiter in double quotes, or set data.source.delimiter",
    )
