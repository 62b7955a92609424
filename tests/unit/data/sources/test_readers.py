from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config.experiment import Columns, CsvSource, JsonlSource, ParquetSource
from rnnlane.data.sources.readers import FileSource, read_file
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import open_place
from rnnlane.errors import DataError


def read(
    source: FileSource, *, columns: Columns | None = None, official_test: bool = False
) -> list[RawRow]:
    place = open_place(source.path)
    columns = columns or Columns()
    return list(read_file(source, place, columns=columns, official_test=official_test))


def csv_file(path: Path, content: str | bytes, **options: Any) -> CsvSource:
    target = path / "data.csv"
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(kind="csv", path=str(target), **options)


def jsonl_file(path: Path, content: str | bytes) -> JsonlSource:
    target = path / "data.jsonl"
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return JsonlSource(kind="jsonl", path=str(target))


def parquet_file(path: Path, table: pa.Table) -> ParquetSource:
    pq.write_table(table, path / "data.parquet")
    return ParquetSource(kind="parquet", path=str(path / "data.parquet"))


def error_of(source: FileSource, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return caught.value


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


def test_an_empty_csv_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in error_of(csv_file(tmp_path, "")).message


def test_utf16_is_refused_by_name(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, "text,label\na,1\n".encode("utf-16")))
    assert "UTF-16" in error.message


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    error = error_of(CsvSource(kind="csv", path=str(tmp_path / "gone.csv")))
    assert error.message == "no such file"


def test_csv_ids_are_text_and_empty_ones_null(tmp_path: Path) -> None:
    rows = read(
        csv_file(tmp_path, "text,label,n\na,1,07\nb,1,\n"),
        columns=Columns(id="n"),
        official_test=True,
    )
    assert [(row.id, row.official_test) for row in rows] == [("07", True), (None, True)]


def test_jsonl_values_of_any_label_type_and_missing_keys(tmp_path: Path) -> None:
    records = [{"text": "a", "label": 1.0}, {"text": "b", "label": True}, {"label": "x"}, {}]
    rows = read(jsonl_file(tmp_path, "\n".join(map(json.dumps, records)) + "\n\n"))
    assert [(row.text, row.label) for row in rows] == [
        (b"a", "1"),
        (b"b", "true"),
        (None, "x"),
        (None, None),
    ]


@pytest.mark.parametrize("line", ['{"text": "b"', "[1]", "3", "[" * 100_000])
def test_a_broken_json_line_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    error = error_of(jsonl_file(tmp_path, f'{{"text": "a", "label": 1}}\n{line}\n'))
    assert error.where is not None
    assert error.where.endswith("data.jsonl:2")


def test_a_json_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    error = error_of(jsonl_file(tmp_path, '{"text": 5, "label": 1}\n'))
    assert "'text' must hold text, but got int" in error.message


def test_a_lone_surrogate_in_json_becomes_invalid_utf8(tmp_path: Path) -> None:
    (row,) = read(jsonl_file(tmp_path, '{"text": "a\\ud800b", "label": 1}\n'))
    assert row.text is not None
    with pytest.raises(UnicodeDecodeError):
        row.text.decode()


def test_an_empty_jsonl_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in error_of(jsonl_file(tmp_path, "")).message


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet_texts_of_any_string_type(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["a", None], pa.string()).cast(kind)
    rows = read(parquet_file(tmp_path, pa.table({"text": texts, "label": ["x", "y"]})))
    assert rows == [RawRow(b"a", "x"), RawRow(None, "y")]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([0, 1], pa.int8()), ["0", "1"]),
        (pa.array([0.0, float("nan")]), ["0", None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        (pa.array([b"x", b"y"]), ["x", "y"]),
    ],
)
def test_parquet_labels_of_any_type(
    tmp_path: Path, labels: pa.Array, names: list[str | None]
) -> None:
    rows = read(parquet_file(tmp_path, pa.table({"text": ["a", "b"], "label": labels})))
    assert [row.label for row in rows] == names


def test_a_parquet_text_column_of_numbers_is_refused(tmp_path: Path) -> None:
    error = error_of(parquet_file(tmp_path, pa.table({"text": [1], "label": [1]})))
    assert "but got int64" in error.message


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text("text,label\n")
    error = error_of(ParquetSource(kind="parquet", path=str(tmp_path / "data.parquet")))
    assert "not a readable parquet file" in error.message
