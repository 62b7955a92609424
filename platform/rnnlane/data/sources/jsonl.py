"""Files of JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from rnnlane.config.experiment import Columns
from rnnlane.data.sources.column_files import (
    COMPRESSED,
    ColumnFileSource,
    encoded,
    not_text,
    text_lines,
)
from rnnlane.data.sources.rows import RawRow, class_name_of, id_of
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError


class JsonlSource(ColumnFileSource):
    """Files of one JSON object a line."""

    kind: Literal["jsonl"]

    file_names: ClassVar[re.Pattern[str]] = re.compile(
        r"\.(?:jsonl|ndjson|json)" + COMPRESSED, re.IGNORECASE
    )

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file; a missing key is NULL, and blank lines are skipped."""
        number = 0
        for number, line in enumerate(text_lines(file), start=1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            record = _parsed_object(line, where=where)
            text = record.get(columns.text)
            if text is not None and not isinstance(text, str):
                raise not_text(columns.text, type(text).__name__, where=where)
            yield RawRow(
                encoded(text),
                class_name_of(record.get(columns.label), where=f"{where} {columns.label}"),
                id_of(record.get(columns.id)) if columns.id is not None else None,
            )
        if not number:
            message = "a jsonl file must hold at least one line, but is empty"
            raise DataError(message, where=str(file))


def _parsed_object(line: str, *, where: str) -> dict[str, Any]:
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
