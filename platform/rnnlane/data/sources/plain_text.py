"""Texts without labels: a file of one text a line, or files of one text each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from rnnlane.config.data import Columns
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.sources.text_files import COMPRESSED, TextFileSource, encoded
from rnnlane.data.storage import StoragePath


class PlainTextSource(TextFileSource):
    """Text files, of one text a line or of one text each; for data.unlabeled."""

    kind: Literal["text"]
    per: Literal["line", "file"] = Field(
        "line", description="What a text is: a line that is not blank, or a whole file."
    )

    has_labels: ClassVar[bool] = False
    file_names: ClassVar[re.Pattern[str]] = re.compile(
        r"\.(?:txt|text)" + COMPRESSED, re.IGNORECASE
    )

    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:  # noqa: ARG002
        """The texts of one file, without a label; it has no columns."""
        for text in self._texts(file):
            yield RawRow(encoded(text), None)

    def records_of(self, file: StoragePath) -> Iterator[Mapping[str, Any]]:
        """See :meth:`ColumnFileSource.records_of`; the only column is ``text``."""
        for text in self._texts(file):
            yield {"text": text}

    def _texts(self, file: StoragePath) -> Iterator[str]:
        if self.per == "file":
            yield "".join(self.lines(file))
        else:
            yield from (line for line in self.lines(file) if not line.isspace())
