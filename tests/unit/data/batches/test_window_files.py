import errno
import os
import threading

import numpy as np
import pytest

from rnnlane.data.batches import window_files
from rnnlane.data.batches.window_files import WindowFolder
from rnnlane.data.prepare.shards import GroupRows
from rnnlane.errors import ResourceError


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(window_files.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def group(*rows: list[int], first_id: int = 0) -> GroupRows:
    offsets = np.append(0, np.cumsum([len(row) for row in rows]))
    tokens = np.array([token for row in rows for token in row], dtype=np.int32)
    keys = np.zeros(0, dtype=np.uint32)
    return GroupRows(first_id + np.arange(len(rows)), offsets, tokens, keys)


def decoded():
    yield 1, group([5, 6, 7], [8])
    yield 0, group([9], first_id=7)


def test_a_window_is_read_as_it_was_decoded():
    with WindowFolder("x") as folder:
        window = folder.window("0-0", decoded)
    assert window.row_ids.tolist() == [0, 1, 7]
    split = window.split
    assert split.token_ids.tolist() == [5, 6, 7, 8, 9]
    assert (split.offsets.tolist(), split.labels.tolist()) == ([0, 3, 4, 5], [1, 1, 0])


def test_it_has_the_keys_of_unknown_tokens():
    def with_unknown():
        yield 1, group([1, 6, 1], [8])._replace(unknown_keys=np.array([7, 9], dtype=np.uint32))
        yield 0, group([1], first_id=7)._replace(unknown_keys=np.array([5], dtype=np.uint32))

    with WindowFolder("x") as folder:
        split = folder.window("0-0", with_unknown).split
    assert split.unknown_keys.tolist() == [7, 9, 5]
    assert split.take(np.array([2, 0])).unknown_keys.tolist() == [5, 7, 9]
    assert (split.token_ids.tolist(), split.labels.tolist()) == ([1, 6, 1, 8, 1], [1, 1, 0])


def test_one_of_all_readers_decodes_a_window_and_the_folder_goes_with_the_last(temporary):
    calls, found = [], []

    def counted():
        calls.append(1)
        yield from decoded()

    def read():
        with WindowFolder("x") as folder:
            found.append(folder.window("0-0", counted))
            together.wait(30)

    together = threading.Barrier(4)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert [window.split.token_ids.tolist() for window in found] == [[5, 6, 7, 8, 9]] * 4
    assert list(temporary.iterdir()) == []


def test_a_window_that_is_removed_is_decoded_again_and_stays_where_it_is_mapped():
    with WindowFolder("x") as folder, WindowFolder("x") as other:
        window = folder.window("0-0", decoded)
        folder.remove("0-0")
        again = other.window("0-0", decoded)
        assert window.row_ids.tolist() == again.row_ids.tolist()
        other.remove("0-0")
        assert window.split.token_ids.tolist() == [5, 6, 7, 8, 9]


def test_what_killed_processes_leave_goes_and_what_others_use_stays(temporary):
    left = WindowFolder("left")
    left.__enter__()
    left.window("0-0", decoded)
    with WindowFolder("other"):
        assert left.path.exists()
    window_files.os.close(left._lock)  # as the end of its process does
    with WindowFolder("other"):
        assert not left.path.exists()


def test_a_full_disk_is_told_in_one_line_and_leaves_no_window(temporary):
    def full():
        yield 1, group([5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with WindowFolder("x") as folder:
        with pytest.raises(ResourceError, match="no space left"):
            folder.window("0-0", full)
        assert folder.window("0-0", decoded).row_ids.tolist() == [0, 1, 7]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_that_another_user_made_is_refused(temporary, monkeypatch, kind):
    folder = WindowFolder("x")
    if kind == "folder":
        folder.path.mkdir()
        mine = os.getuid()
        monkeypatch.setattr(window_files.os, "getuid", lambda: mine + 1)
    else:
        (temporary / "elsewhere").mkdir()
        folder.path.symlink_to(temporary / "elsewhere")
    with pytest.raises(ResourceError, match="must be this user's own") as told, folder:
        pass
    assert told.value.where == str(folder.path)
    assert "TMPDIR" in told.value.remedy
