from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from rnnlane.config.data import Columns
from rnnlane.data.sources import base
from rnnlane.data.sources.base import FileSource
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.sources.generated import GeneratedSource
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import open_storage_path

SIZES = {"a": 4, "b": 6, "c": 1, "d": 25, "e": 2}


class SizedFiles(FileSource):
    """Files of given sizes, whose only row is their name."""

    kind: Literal["sized"] = "sized"
    path: str = "data"
    location_keys = ("path",)

    def files_at(self, key: str) -> list[SourceFile]:
        root = open_storage_path(self.locations[key])
        return [SourceFile(root / name, name, size, None) for name, size in SIZES.items()]

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:
        yield RawRow(file.name.encode(), columns.label)


def test_small_files_share_a_task_and_a_large_one_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base, "_TASK_BYTES", 10)
    tasks = SizedFiles().read_tasks(Columns(label="class"))
    rows = [[row.text for row in task()] for task in tasks]
    assert rows == [[b"a", b"b"], [b"c"], [b"d"], [b"e"]]
    assert {row.label for task in tasks for row in task()} == {"class"}


def test_a_source_without_files_lists_none_and_needs_no_download() -> None:
    source = GeneratedSource(kind="generated")
    assert source.list_files() == []
    assert not source.needs_fetch()
    assert source.location() == "generated"
    with pytest.raises(NotImplementedError, match="GeneratedSource has no files at path"):
        source.files_at("path")


def test_files_are_local_unless_they_are_on_another_filesystem() -> None:
    assert SizedFiles().is_local()
    assert not SizedFiles(path="mock:///data").is_local()
    assert not GeneratedSource(kind="generated").is_local()
