from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.data import Columns
from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.rows import RawRow
from rnnlane.errors import ConfigError
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


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"never closed,1\nb,1\n\nc,1\n', "is not closed"),
        ('"closed" too early,1\nb,1\n', "expected after"),
        ('"goes on\nto the "next" quote,1\nb,1\n', "expected after"),
    ],
)
def test_a_quote_is_refused_where_its_row_begins(tmp_path: Path, row: str, reason: str) -> None:
    error = error_of(csv_file(tmp_path, 'text,label\n"two\nlines",1\n' + row))
    assert reason in error.message
    assert str(error.where).endswith("data.csv:4")
    assert "data.source.quoting: none" in str(error.remedy)


def test_a_blank_before_a_quote_is_no_part_of_the_field(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, 'text, label\n"a, b", "neg"\nc,neg\n'))
    assert rows == [RawRow(b"a, b", "neg"), RawRow(b"c", "neg")]


def test_a_csv_field_of_a_megabyte_is_read_whole(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, f"text,label\n{'x' * (1 << 20)},1\n"))
    assert rows[0].text == b"x" * (1 << 20)


def test_another_delimiter_and_compression_are_understood(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"text\tlabel\na,b\t1\n"))
    source = CsvSource(kind="csv", path=str(tmp_path / "data.csv.gz"), delimiter="\t")
    assert read(source) == [RawRow(b"a,b", "1")]


@pytest.mark.parametrize("content", ["", "\n\n", b"\xef\xbb\xbf"])
def test_an_empty_csv_file_is_refused(tmp_path: Path, content: str | bytes) -> None:
    assert "empty" in error_of(csv_file(tmp_path, content)).message


def test_numbers_and_truth_values_are_the_classes_that_other_formats_have(tmp_path: Path) -> None:
    rows = read(csv_file(tmp_path, "text,label\na,1.0\nb,1\nc,TRUE\nd,True\n"))
    assert [row.label for row in rows] == ["1", "1", "true", "true"]


def test_without_a_header_line_columns_are_numbered(tmp_path: Path) -> None:
    source = csv_file(tmp_path, "\n1,good\n2\n", header=False)
    columns = Columns.model_validate({"label": 1, "text": 2})
    assert read(source, columns=columns) == [RawRow(b"good", "1"), RawRow(None, "2")]
    error = error_of(source)
    assert error.message == "there is no column 'text'; the columns are '1', '2'"
    assert error.remedy is not None
    assert "are numbered" in error.remedy


def test_two_text_columns_are_joined_by_a_line_break(tmp_path: Path) -> None:
    source = csv_file(tmp_path, "title,label,body\nA,1,b\nC,2\n")
    rows = read(source, columns=Columns(text=("title", "body")))
    assert rows == [RawRow(b"A\nb", "1"), RawRow(b"C", "2")]


@pytest.mark.parametrize(
    ("header", "delimiter", "word"),
    [
        ("text\tlabel", ",", "tab"),
        ("id;text;label", ",", "semicolon"),
        ("text|label", "\t", "pipe"),
        ("text,label", "\t", "comma"),
        ("id;review;class", ",", "semicolon"),
    ],
)
def test_another_delimiter_in_the_header_is_named(
    tmp_path: Path, header: str, delimiter: str, word: str
) -> None:
    error = error_of(csv_file(tmp_path, f"{header}\na, b,1\n", delimiter=delimiter))
    assert f"the delimiter is {delimiter!r}, but the first line looks separated" in error.message
    assert error.remedy == f"set data.source.delimiter: {word}"


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("a fine film,pos\nb,neg\n", "data.source.header: false"),
        ('{"text": "a", "label": 1}\n', "data.source.kind: jsonl"),
        ("текст,метка\n".encode("cp1251"), "data.source.encoding"),
    ],
)
def test_a_first_line_without_the_columns_says_what_is_likely_wrong(
    tmp_path: Path, content: str | bytes, remedy: str
) -> None:
    assert remedy in str(error_of(csv_file(tmp_path, content)).remedy)


def test_a_header_of_thousands_of_letters_is_cut(tmp_path: Path) -> None:
    assert len(str(error_of(csv_file(tmp_path, "x" * 3500 + "\n")).message)) < 200


@pytest.mark.parametrize("content", [b"text,label\na,caf\xe9\n", b"text,label\n\na,\xff\n"])
def test_a_label_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path, content: bytes) -> None:
    error = error_of(csv_file(tmp_path, content))
    assert "a label must be valid text" in error.message
    assert str(error.where).endswith(f":{content.count(bytes([10]))}")


def test_an_id_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    source = csv_file(tmp_path, b"text,label,n\na,1,caf\xe9\n")
    assert "an id must be valid text" in error_of(source, columns=Columns(id="n")).message


@pytest.mark.parametrize(
    ("value", "character"), [("tab", "\t"), ("\\t", "\t"), ("pipe", "|"), ("semicolon", ";")]
)
def test_a_delimiter_may_be_named(value: str, character: str) -> None:
    assert CsvSource(kind="csv", path="x", delimiter=value).delimiter == character


@pytest.mark.parametrize("value", ["", "::", '"', "\n", "\0", 1, None, "tabs"])
def test_what_cannot_separate_fields_is_refused_as_it_was_written(value: object) -> None:
    source = {"kind": "csv", "path": "x", "delimiter": value}
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping({"name": "x", "data": {"source": source}})
    assert "must be one character" in caught.value.message
    assert f"got {value!r}" in caught.value.message


def test_csv_ids_are_text_and_empty_ones_null(tmp_path: Path) -> None:
    rows = read(
        csv_file(tmp_path, "text,label,n\na,1,07\nb,1,\n"),
        columns=Columns(id="n"),
        official_test=True,
    )
    assert [(row.id, row.official_test) for row in rows] == [("07", True), (None, True)]
