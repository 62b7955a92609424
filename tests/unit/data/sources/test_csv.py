from __future__ import annotations

import gzip
from pathlib import Path

from rnnlane.config.experiment import Columns
from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.rows import RawRow
from support.source_rows import csv_file, error_of, read


def test_csv_fields_may_hold_line_ends_quotes_and_delimiters(tmp_path: Path) -> None:
    content = 'review,sentiment\r\n"One ""two"",\r\nthree<br />",positive\r\nplain,negative\r\n'
    rows = read(csv_file(tmp_path, content), columns=Columns(text="review", label="sentiment"))
    assert rows == [
        RawRow(b'One "two",\r\nthree<br />', "positive"),
        RawRow(b"plain", "negative"),
    ]


def test_csv_may_start_with_a_byte_order_mark_and_hold_nuls(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, b"\xef\xbb\xbftext,label\na\0b,1\n"))
    assert rows == [RawRow(b"a\0b", "1")]


def test_csv_bytes_that_are_not_utf8_come_through_unharmed(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, b"text,label\ncaf\xe9,1\n"))
    assert rows[0].text == b"caf\xe9"


def test_a_short_csv_row_has_nulls_and_a_blank_line_is_no_row(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, "text,label\nonly text\n\nboth,1\n"))
    assert rows == [RawRow(b"only text", None), RawRow(b"both", "1")]


def test_a_long_csv_row_is_refused_with_its_line(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, "text,label\na,1\nb, c,1\n"))
    assert "at most 2 fields" in error.message
    assert error.where is not None
    assert error.where.endswith("data.csv:3")


def test_a_csv_quote_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, 'text,label\n"a,1\nb,1\n'))
    assert "not valid csv" in error.message


def test_a_csv_field_of_a_megabyte_is_read_whole(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, f"text,label\n{'x' * (1 << 20)},1\n"))
    assert rows[0].text == b"x" * (1 << 20)


def test_another_delimiter_and_compression_are_understood(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"text\tlabel\na,b\t1\n"))
    source = CsvSource(kind="csv", path=str(tmp_path / "data.csv.gz"), delimiter="\t")
    assert read(source) == [RawRow(b"a,b", "1")]


def test_an_empty_csv_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in error_of(csv_file(tmp_path, "")).message


def test_csv_ids_are_text_and_empty_ones_null(tmp_path: Path) -> None:
    rows = read(
        csv_file(tmp_path, "text,label,n\na,1,07\nb,1,\n"),
        columns=Columns(id="n"),
        official_test=True,
    )
    assert [(row.id, row.official_test) for row in rows] == [("07", True), (None, True)]
