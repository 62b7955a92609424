from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rnnlane.config.experiment import DataConfig
from rnnlane.data.sources.files import list_source, source_location
from rnnlane.data.sources.rows import RAW_SCHEMA
from rnnlane.data.sources.stream import SourceRows
from rnnlane.errors import DataError


def data_config(**source: Any) -> DataConfig:
    test = "official" if "test_path" in source else 0.2
    return DataConfig.model_validate({"source": source, "test": test})


def names_of(config: DataConfig) -> list[str]:
    return [file.name for file in list_source(config)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a.csv.gz",
        "sub/c.CSV",
        "sub/deep/e.csv",
        "_SUCCESS",
        ".x.csv",
        "README.md",
        "d.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text,label\nx,1\n")
    return tmp_path


def test_a_folder_stands_for_its_files_of_the_kind_sorted(folder: Path) -> None:
    names = ["a.csv.gz", "b.csv", "sub/c.CSV", "sub/deep/e.csv"]
    assert names_of(data_config(kind="csv", path=str(folder))) == names
    assert names_of(data_config(kind="csv", path=f"file://{folder}/")) == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["b.csv"]),
        ("?.csv*", ["a.csv.gz", "b.csv"]),
        ("**/*.[cC][sS][vV]", ["b.csv", "sub/c.CSV", "sub/deep/e.csv"]),
        ("s*/*", ["sub/c.CSV"]),
    ],
)
def test_a_glob_stands_for_the_files_that_match(
    folder: Path, pattern: str, names: list[str]
) -> None:
    assert names_of(data_config(kind="csv", path=f"{folder}/{pattern}")) == names
    assert names_of(data_config(kind="csv", path=f"file://{folder}/{pattern.replace('?', '*')}"))


def test_a_file_whose_name_has_wildcards_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("text,label\nx,1\n")
    assert len(list_source(data_config(kind="csv", path=str(tmp_path / "data[1].csv")))) == 1


def test_nothing_there_says_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        list_source(data_config(kind="csv", path="gone.csv"))
    assert caught.value.where == "data.source.path gone.csv"
    assert f"looked for {tmp_path}/gone.csv" in str(caught.value)
    assert f"the working directory is {tmp_path}" in str(caught.value)


@pytest.mark.parametrize("path", ["", "*.nothing"])
def test_a_folder_or_glob_without_files_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="no csv file there"):
        list_source(data_config(kind="csv", path=f"{tmp_path}/{path}"))


def test_test_files_are_marked_and_a_missing_one_named(folder: Path) -> None:
    both = data_config(kind="csv", path=str(folder / "b.csv"), test_path=str(folder / "sub"))
    assert [file.official_test for file in list_source(both)] == [False, True, True]
    missing = data_config(kind="csv", path=str(folder), test_path=str(folder / "gone"))
    with pytest.raises(DataError, match=r"data\.source\.test_path"):
        list_source(missing)


def test_the_location_is_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert source_location(data_config(kind="csv", path="b.csv")) == str(folder / "b.csv")
    assert source_location(data_config(kind="generated")) == "generated"


def read_all(config: DataConfig) -> pa.Table:
    tasks = SourceRows(config).get_read_tasks(1)
    return pa.concat_tables(table for task in tasks for table in task())


def test_small_files_share_a_read_task(tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / f"{n:02}.csv").write_text(f"text,label\nrow {n},1\n")
    config = data_config(kind="csv", path=str(tmp_path))
    assert SourceRows(config).num_tasks == 1
    assert read_all(config)["text"].to_pylist() == [f"row {n}".encode() for n in range(50)]


def test_large_files_have_a_read_task_each(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.csv").write_text("text,label\n" + f"{'x' * 5_000_000},1\n")
    assert SourceRows(data_config(kind="csv", path=str(tmp_path))).num_tasks == 3


def test_generated_rows_come_once_each_over_several_tasks() -> None:
    config = data_config(kind="generated", num_rows=9000)
    assert SourceRows(config).num_tasks == 3
    table = read_all(config)
    assert table.schema == RAW_SCHEMA
    assert table.num_rows == 9000
    assert set(table["label"].to_pylist()) == {"negative", "positive"}
    assert list_source(config) == []
