"""Reads a source's file; writes small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnnlane.config.data import Columns
from rnnlane.data.sources.column_files import ColumnFileSource
from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import open_storage_path
from rnnlane.errors import DataError


def read(
    source: ColumnFileSource, *, columns: Columns | None = None, official_test: bool = False
) -> list[RawRow]:
    """The rows of a source that is one file."""
    file = SourceFile(open_storage_path(source.path), "", 0, None, official_test)
    return list(source.read_file(file, columns or Columns()))


def error_of(source: ColumnFileSource, **options: Any) -> DataError:
    """The one-line error that reading a source raises."""
    with pytest.raises(DataError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def csv_file(path: Path, content: str | bytes, **options: Any) -> CsvSource:
    """A csv source of one file in a folder."""
    target = path / "data.csv"
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(kind="csv", path=str(target), **options)
