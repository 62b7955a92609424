from __future__ import annotations

import gzip
from pathlib import Path

from rnnlane.data.sources.csv import CsvSource
from support.source_rows import csv_file, error_of


def test_a_truncated_compressed_file_is_named(tmp_path: Path) -> None:
    content = gzip.compress(b"text,label\n" + b"".join(b"%d,1\n" % n for n in range(9999)))
    (tmp_path / "data.csv.gz").write_bytes(content[:-2000])
    error = error_of(CsvSource(kind="csv", path=str(tmp_path / "data.csv.gz")))
    assert error.where is not None
    assert error.where.endswith("data.csv.gz")


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, "txt,label\na,1\n"))
    assert "'text'" in error.message
    assert "'txt', 'label'" in error.message
    assert error.remedy == "did you mean 'txt'? set data.columns.text"


def test_utf16_is_refused_by_name(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, "text,label\na,1\n".encode("utf-16")))
    assert "UTF-16" in error.message


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    error = error_of(CsvSource(kind="csv", path=str(tmp_path / "gone.csv")))
    assert error.message == "no such file"
