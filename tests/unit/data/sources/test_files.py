from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnnlane.config.experiment import DataConfig
from rnnlane.data.sources.base import Source, source_of
from rnnlane.errors import DataError


def source(**settings: Any) -> Source:
    test = "official" if "test_path" in settings else 0.2
    return source_of(DataConfig.model_validate({"source": settings, "test": test}))


def names_of(source: Source) -> list[str]:
    return [file.name for file in source.list_files()]


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
    assert names_of(source(kind="csv", path=str(folder))) == names
    assert names_of(source(kind="csv", path=f"file://{folder}/")) == names


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
    assert names_of(source(kind="csv", path=f"{folder}/{pattern}")) == names
    assert names_of(source(kind="csv", path=f"file://{folder}/{pattern.replace('?', '*')}"))


def test_a_file_whose_name_has_wildcards_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("text,label\nx,1\n")
    assert len(source(kind="csv", path=str(tmp_path / "data[1].csv")).list_files()) == 1


def test_nothing_there_says_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        source(kind="csv", path="gone.csv").list_files()
    assert caught.value.where == "data.source.path gone.csv"
    assert f"looked for {tmp_path}/gone.csv" in str(caught.value)
    assert f"the working directory is {tmp_path}" in str(caught.value)


@pytest.mark.parametrize("path", ["", "*.nothing"])
def test_a_folder_or_glob_without_files_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="there is no csv file"):
        source(kind="csv", path=f"{tmp_path}/{path}").list_files()


def test_test_files_are_marked_and_a_missing_one_named(folder: Path) -> None:
    both = source(kind="csv", path=str(folder / "b.csv"), test_path=str(folder / "sub"))
    assert [file.official_test for file in both.list_files()] == [False, True, True]
    missing = source(kind="csv", path=str(folder), test_path=str(folder / "gone"))
    with pytest.raises(DataError, match=r"data\.source\.test_path"):
        missing.list_files()


def test_the_location_is_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert source(kind="csv", path="b.csv").location() == str(folder / "b.csv")
    assert source(kind="generated").location() == "generated"
    assert source(kind="generated").list_files() == []
