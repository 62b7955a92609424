from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlane.config.data import Columns
from rnnlane.config.sources import source_class
from rnnlane.data.sources.column_files import (
    ColumnFileSource,
    joined_text,
    positions_of,
    shown_names,
)
from rnnlane.data.sources.csv import CsvSource
from rnnlane.errors import DataError
from support.source_rows import csv_file, error_of, read


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


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    error = error_of(CsvSource(kind="csv", path=str(tmp_path / "gone.csv")))
    assert error.message == "no such file"


def test_columns_are_found_whatever_invisible_characters_and_forms_a_name_has() -> None:
    columns = Columns(text="été", label="label")
    present = ["\ufeff" + unicodedata.normalize("NFD", "été"), " lab\u200bel "]
    assert positions_of(columns, present, where="x") == ((0,), 1, None, None)
    exact = ["label ", "label", "été"]
    assert positions_of(columns, exact, where="x") == ((2,), 1, None, None)


def test_a_column_that_is_there_twice_is_refused() -> None:
    with pytest.raises(DataError, match="'text' is there 2 times"):
        positions_of(Columns(), ["text", "label", "text"], where="x")


def test_many_and_long_names_are_cut() -> None:
    assert shown_names(["a"] * 14).endswith("'a' and 2 more")
    assert len(shown_names(["x" * 3500])) < 50


def test_texts_are_joined_without_the_nulls() -> None:
    assert joined_text(["a", None, "b"], "\n") == "a\nb"
    assert joined_text([None, b"b"], b"\n") == b"b"
    assert joined_text([None, None], "\n") is None


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", "b", "c", "d"],
            "label": ["1.0", "e\u0301t\u00e9", " sp\u200bam", "TRUE"],
            "n": ["1.0", "007", "x\ufeff", "-0"],
        }
    )
    files = {kind: tmp_path / f"data.{kind}" for kind in ("csv", "jsonl", "parquet")}
    lines = [",".join(f'"{value}"' for value in row.values()) for row in table.to_pylist()]
    files["csv"].write_text("\n".join(["text,label,n", *lines]), encoding="utf-8")
    records = [json.dumps(row) for row in table.to_pylist()]
    files["jsonl"].write_text("\n".join(records), encoding="utf-8")
    pq.write_table(table, files["parquet"])
    columns = Columns(id="n")
    by_kind = {
        kind: read(source_class(kind)(kind=kind, path=str(path)), columns=columns)  # type: ignore[call-arg, arg-type]
        for kind, path in files.items()
    }
    assert by_kind["csv"] == by_kind["jsonl"] == by_kind["parquet"]
    named = [(row.label, row.id) for row in by_kind["csv"]]
    assert named == [("1", "1"), ("été", "007"), ("spam", "x"), ("true", "0")]


def test_every_kind_of_file_reads_the_groups_of_rows(tmp_path: Path) -> None:
    groups: list[object] = [7, 7.0, None]
    pq.write_table(
        pa.table({"text": ["a", "b", "c"], "label": ["x"] * 3, "by": pa.array([7, 7, None])}),
        tmp_path / "a.parquet",
    )
    (tmp_path / "a.csv").write_text("text,label,by\na,x,7\nb,x, 7.0\nc,x,\n")
    lines = [{"text": t, "label": "x", "by": g} for t, g in zip("abc", groups, strict=True)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for kind in ("csv", "jsonl", "parquet"):
        source = source_class(kind).model_validate({"kind": kind, "path": f"{tmp_path}/a.{kind}"})
        assert isinstance(source, ColumnFileSource)
        rows = read(source, columns=Columns(group="by"))
        assert [row.group for row in rows] == ["7", "7", None]
        assert [row.group for row in read(source)] == [None] * 3
        with pytest.raises(DataError) as caught:
            source.check_first_rows(Columns(group="author"))
        assert "data.columns.group" in str(caught.value.remedy)
