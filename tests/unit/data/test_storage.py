from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from rnnlane.data.storage import joined, open_storage_path, readable_errors
from rnnlane.errors import DataError, redact


def test_a_local_path_and_its_file_uri_are_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("x")
    assert open_storage_path(str(tmp_path / "a b.txt")).read_bytes() == b"x"
    assert open_storage_path(f"file://{tmp_path}/a b.txt").read_bytes() == b"x"
    assert open_storage_path(f"file://{tmp_path}/a%20b.txt").read_bytes() == b"x"


def test_a_relative_path_counts_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_storage_path("x/../y").path == str(tmp_path / "y")


def test_a_place_survives_the_way_to_a_task(tmp_path: Path) -> None:
    place = pickle.loads(pickle.dumps(open_storage_path(f"file://{tmp_path}") / "file"))
    place.write_bytes(b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_an_unknown_filesystem_is_refused_without_its_secrets() -> None:
    with pytest.raises(DataError) as caught:
        open_storage_path("nope://user:secret@host/x?key=hidden")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.where == "nope://***@host/x?key=***"


def test_a_path_that_is_not_utf8_is_refused_so_that_it_can_be_printed() -> None:
    with pytest.raises(DataError, match="must be UTF-8") as caught:
        open_storage_path("caf\udce9.csv")
    assert str(caught.value).isascii()


def test_redaction_leaves_local_paths_alone() -> None:
    assert redact("/a@b?c") == "/a@b?c"
    assert redact("s3://id:key@bucket/x?region=y") == "s3://***@bucket/x?region=y"


def test_joining_keeps_the_options_of_a_uri_at_its_end() -> None:
    assert joined("/store/", "a", "b") == "/store/a/b"
    assert joined("s3://bucket/x?region=y", "a") == "s3://bucket/x/a?region=y"


def test_publishing_replaces_a_file_and_leaves_no_draft(tmp_path: Path) -> None:
    place = open_storage_path(str(tmp_path))
    (tmp_path / "target").write_text("old")
    (place / "target").publish(b"new", draft=place / "draft")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"target": "new"}


def test_removing_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    (open_storage_path(str(tmp_path)) / "nothing").remove_folder()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "whatever"), "no space left"),
        (OSError(errno.EDQUOT, "whatever"), "no space left"),
        (OSError("Detail: [errno 28] No space left on device"), "no space left"),
        (FileNotFoundError(errno.ENOENT, "whatever"), "no such file"),
        (PermissionError(errno.EACCES, "whatever"), "Permission denied"),
        (pa.ArrowInvalid("first line\nsecond line"), "first line"),
    ],
)
def test_a_failing_disk_is_told_in_one_line(error: Exception, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught, readable_errors("/the/place"):
        raise error
    assert caught.value.where == "/the/place"
    assert "\n" not in str(caught.value)
