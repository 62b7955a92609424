from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
