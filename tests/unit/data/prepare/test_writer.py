from __future__ import annotations

import errno
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rnnlane.data.prepare import writer as prepared_writer
from rnnlane.data.prepare.prepared import FORMAT_VERSION, Manifest, SourceInfo
from rnnlane.data.prepare.writer import (
    draft_folder,
    find_finished,
    publish,
    remove_abandoned,
    write_vocabulary,
)
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError

NOW = datetime.now(UTC)


def manifest_for(folder: StoragePath) -> Manifest:
    values = {
        "format_version": FORMAT_VERSION,
        "fingerprint": "f",
        "source": SourceInfo(kind="csv", fingerprint="f", location="/x"),
        "data_folder": folder.name,
        "code_version": "c",
        "vocabulary_size": 2,
        "num_rows_read": 0,
        "num_conflicts": 0,
        "warnings": (),
        "class_names": ("a", "b"),
        "created_at": "now",
        "seconds": 0.0,
    }
    counts = ("dropped", "merged", "conflicts", "repaired", "cut")
    empty = ("config", "versions", "splits", "files", *counts)
    return Manifest.model_validate({**{key: {} for key in empty}, **values})


def finish(path: Path, *, text: str = "vocabulary") -> str:
    with draft_folder(str(path)) as folder:
        write_vocabulary(folder, text)
        return publish(str(path), folder=folder, manifest=manifest_for(folder)).vocabulary_text()


def names_in(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


def test_only_a_published_draft_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_finished(str(tmp_path / "x")) is None
    assert not caplog.records
    with draft_folder(str(tmp_path / "x")) as folder:
        write_vocabulary(folder, "vocabulary")
        assert find_finished(str(tmp_path / "x")) is None
        publish(str(tmp_path / "x"), folder=folder, manifest=manifest_for(folder))
    found = find_finished(str(tmp_path / "x"))
    assert found is not None
    assert found.manifest.files == {"vocabulary.jsonl": len("vocabulary")}
    assert names_in(tmp_path / "x") == [folder.name, "manifest.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_draft_goes_away_when_its_writer_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def fail() -> None:
        with draft_folder(str(tmp_path / "x")) as folder:
            write_vocabulary(folder, "half")
            raise error

    with pytest.raises(error):
        fail()
    assert names_in(tmp_path) == []


def test_the_first_of_two_wins_and_the_second_takes_its_data(tmp_path: Path) -> None:
    with draft_folder(str(tmp_path)) as slow:
        write_vocabulary(slow, "slow")
        assert finish(tmp_path, text="quick") == "quick"
        used = publish(str(tmp_path), folder=slow, manifest=manifest_for(slow))
    assert used.vocabulary_text() == "quick"
    assert names_in(tmp_path) == [used.manifest.data_folder, "manifest.json"]


def test_damaged_data_is_prepared_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finish(tmp_path, text="old")
    (tmp_path / "manifest.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert find_finished(str(tmp_path)) is None
    assert "damaged" in caplog.text
    assert finish(tmp_path, text="new") == "new"


def test_a_failed_writer_leaves_the_drafts_of_others(tmp_path: Path) -> None:
    with draft_folder(str(tmp_path)) as other:
        with pytest.raises(KeyboardInterrupt), draft_folder(str(tmp_path)):
            raise KeyboardInterrupt
        assert names_in(tmp_path) == [other.name]


def test_drafts_of_the_dead_are_removed_after_a_day_and_no_others(tmp_path: Path) -> None:
    finish(tmp_path)
    used = next(name for name in names_in(tmp_path) if name.startswith("data-"))
    stamps = {hours: NOW - timedelta(hours=hours) for hours in (1, 25)}
    drafts = {hours: f"data-{stamp:%Y%m%dT%H%M%SZ}-abc" for hours, stamp in stamps.items()}
    for name in (*drafts.values(), "data-mine", "notes"):
        (tmp_path / name).mkdir()
    remove_abandoned(str(tmp_path), now=NOW)
    assert names_in(tmp_path) == sorted([used, drafts[1], "data-mine", "notes", "manifest.json"])
    remove_abandoned(str(tmp_path), now=NOW + timedelta(days=2))
    assert names_in(tmp_path) == sorted([used, "data-mine", "notes", "manifest.json"])


def test_nothing_to_remove_is_no_error(tmp_path: Path) -> None:
    remove_abandoned(str(tmp_path / "nothing"), now=NOW)


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: StoragePath, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepared_writer.StoragePath, "write_bytes", full)
    with (
        pytest.raises(DataError, match="no space left"),
        draft_folder(str(tmp_path / "x")) as draft,
    ):
        write_vocabulary(draft, "x")
    assert names_in(tmp_path) == []


def test_a_storage_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught, draft_folder(str(tmp_path / "file" / "x")):
        pass
    assert "\n" not in str(caught.value)
