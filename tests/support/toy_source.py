"""A source in one file: what somebody writes who adds a kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from rnnlane.config.data import Columns
from rnnlane.data.sources.base import FileSource
from rnnlane.data.sources.files import SourceFile, list_location
from rnnlane.data.sources.rows import RawRow

REGISTRY_LINE = {"toy": "support.toy_source:ToySource"}


class ToySource(FileSource):
    """Text files of one row a line: the class, a colon and the text."""

    kind: Literal["toy"]
    path: str = Field(description="A file or a folder of .toy files.")

    location_keys: ClassVar[tuple[str, ...]] = ("path",)

    def files_at(self, key: str) -> list[SourceFile]:
        """The .toy files."""
        return list_location(
            self.path, kind="toy", file_names=re.compile(r"\.toy$"), key=f"data.source.{key}"
        )

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:
        """One row a line."""
        for line in file.path.read_bytes().splitlines():
            label, _, text = line.partition(b":")
            yield RawRow(text, label.decode())
