from __future__ import annotations

import errno
import glob
import os
from pathlib import Path
from typing import Any

import pytest

from rnnlane.config.data import DataConfig
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
        ("[!b].csv*", ["a.csv.gz"]),
        ("[a-c].c[!x]v", ["b.csv"]),
        ("**/[!a-d].csv", ["sub/deep/e.csv"]),
        (
            "**",
            [
                "README.md",
                "_SUCCESS",
                "a.csv.gz",
                "b.csv",
                "d.jsonl",
                "sub/c.CSV",
                "sub/deep/e.csv",
            ],
        ),
        ("**.csv", ["b.csv"]),
        (".*.csv", [".x.csv"]),
        ("**/deep/*", ["sub/deep/e.csv"]),
    ],
)
def test_a_glob_stands_for_the_files_that_match(
    folder: Path, pattern: str, names: list[str]
) -> None:
    assert names_of(source(kind="csv", path=f"{folder}/{pattern}")) == names
    assert names_of(source(kind="csv", path=f"file://{folder}/{pattern.replace('?', '*')}"))
    if "**" in pattern:  # of which fnmatch knows nothing
        return
    found = sorted(glob.glob(pattern, root_dir=folder))
    assert [name for name in found if (folder / name).is_file()] == names


def test_a_file_whose_name_has_wildcards_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "data[1].csv").write_text("text,label\nx,1\n")
    assert len(source(kind="csv", path=str(tmp_path / "data[1].csv")).list_files()) == 1


@pytest.mark.parametrize("name", ["reviews [2024-2].csv", "a[", "[z-a]*", "[]", "[!]", "x?"])
def test_a_missing_file_with_brackets_in_its_name_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no such file or folder, and none that matches") as caught:
        source(kind="csv", path=str(tmp_path / name)).list_files()
    assert caught.value.where == f"data.source.path {tmp_path / name}"


def test_a_pattern_below_a_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "x [1]").mkdir()
    (tmp_path / "x [1]" / "a.csv").write_text("text,label\nx,1\n")
    assert names_of(source(kind="csv", path=str(tmp_path / "x [1]" / "[ab].csv"))) == ["a.csv"]


@pytest.mark.parametrize("path", ["", "*.csv", "sub", "sub/*", "**/*.csv"])
def test_a_link_without_a_target_is_refused_by_name(folder: Path, path: str) -> None:
    link = folder / ("sub/lost.csv" if path.startswith("sub") else "lost.csv")
    link.symlink_to("gone")
    with pytest.raises(DataError, match="the target of a link must exist") as caught:
        source(kind="csv", path=f"{folder}/{path}").list_files()
    assert caught.value.where == str(link)


def test_a_pipe_is_refused_and_links_to_files_and_folders_are_followed(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "b.csv")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "unrelated.txt").symlink_to("gone")
    names = ["a.csv.gz", "b.csv", "link.csv", "sub/c.CSV", "sub/deep/e.csv"]
    assert names_of(source(kind="csv", path=str(folder))) == names
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(DataError, match="not a file that can be read") as caught:
        source(kind="csv", path=str(folder)).list_files()
    assert caught.value.where == str(folder / "pipe.csv")


@pytest.mark.parametrize("path", ["", "*.csv"])
def test_a_file_whose_name_is_not_utf8_is_refused_unless_it_is_not_read(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,1\n")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("")
    assert names_of(source(kind="csv", path=f"{tmp_path}/{path}")) == ["a.csv"]
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).write_text("")
    with pytest.raises(DataError, match="must be UTF-8") as caught:
        source(kind="csv", path=f"{tmp_path}/{path}").list_files()
    assert "udce9.csv" in str(caught.value.where)


def test_a_path_to_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a file that can be read"):
        source(kind="csv", path="/dev/null").list_files()


def test_a_folder_that_cannot_be_listed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="Permission denied") as caught:
        source(kind="csv", path=str(folder)).list_files()
    assert caught.value.where == str(folder / "sub" / "deep")


def test_nothing_there_says_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        source(kind="csv", path="gone.csv").list_files()
    assert caught.value.where == "data.source.path gone.csv"
    assert f"looked for {tmp_path}/gone.csv" in str(caught.value)
    assert f"the working directory is {tmp_path}" in str(caught.value)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no csv file"):
        source(kind="csv", path=str(tmp_path)).list_files()


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
