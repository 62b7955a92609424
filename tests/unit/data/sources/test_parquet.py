from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config.data import Columns
from rnnlane.data.sources.parquet import ParquetSource
from rnnlane.data.sources.rows import RawRow
from support.source_rows import error_of, read


def parquet_file(path: Path, table: pa.Table) -> ParquetSource:
    pq.write_table(table, path / "data.parquet")
    return ParquetSource(kind="parquet", path=str(path / "data.parquet"))


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
        (pa.array(["1.0", "TRUE"]), ["1", "true"]),
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


def not_utf8(*values: bytes) -> pa.Array:
    """A string column that holds bytes which are not UTF-8; pyarrow does not check."""
    array = pa.array(values, pa.binary())
    return pa.StringArray.from_buffers(len(array), *array.buffers()[1:])


def test_a_parquet_label_or_id_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    table = pa.table({"text": not_utf8(b"caf\xe9", b"b"), "label": not_utf8(b"caf\xe9", b"b")})
    assert "a label must be valid text" in error_of(parquet_file(tmp_path, table)).message
    table = table.append_column("n", table["label"]).set_column(1, "label", pa.array(["x", "y"]))
    source = parquet_file(tmp_path, table)
    assert [row.text for row in read(source)] == [b"caf\xe9", b"b"]
    assert "an id must be valid text" in error_of(source, columns=Columns(id="n")).message


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], [1]], names=["text", "text", "label"])
    error = error_of(parquet_file(tmp_path, table))
    assert "'text' is there 2 times" in error.message
    table = pa.table([["a"], ["b"], ["c"], [1]], names=["x", "x", "text", "label"])
    assert read(parquet_file(tmp_path, table)) == [RawRow(b"c", "1")]


def test_the_folders_of_a_partitioned_data_set_are_columns(tmp_path: Path) -> None:
    for folder in ("label=not spam", "label=a%2Fb", "label=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"text": ["a"]}), tmp_path / folder / "part-0.parquet")
    source = ParquetSource(kind="parquet", path=str(tmp_path))
    rows = [row for task in source.read_tasks(Columns()) for row in task()]
    assert sorted(row.label or "" for row in rows) == ["", "a/b", "not spam"]
    assert [row.text for row in rows] == [b"a"] * 3


def test_parquet_texts_of_two_columns_are_joined(tmp_path: Path) -> None:
    table = pa.table({"title": ["a", None], "body": ["b", "c"], "label": [0, 1]})
    rows = read(parquet_file(tmp_path, table), columns=Columns(text=("title", "body")))
    assert rows == [RawRow(b"a\nb", "0"), RawRow(b"c", "1")]
