"""Copies of an object store's files on a node's disk. Local files stand for those of the store."""

import errno
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest

from rnnlane.data import file_cache
from rnnlane.data.batches.file_split import FileSplit
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.data.file_cache import FileCache, default_folder
from rnnlane.data.storage import StoragePath, open_storage_path
from rnnlane.errors import DataError
from rnnlane.execution.streaming import made_shards
from rnnlane.records.events import RunEvents
from support.shards import damaged, prepared_of, read_steps
from support.tiny import tiny_split

KB = 1000
LONG_AGO = 2 * file_cache._KEPT_S


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_cache, "_unusable", set())
    monkeypatch.setattr(StoragePath, "is_local", False)


def of_store(folder, name="a", content=b"x" * KB) -> StoragePath:
    (folder / name).write_bytes(content)
    return open_storage_path(str(folder / name))


def read(cache, file, num_bytes=KB) -> tuple[bytes, StoragePath]:
    """The content, and where it was read last."""
    places = []

    def decoded(place):
        places.append(place)
        try:
            content = place.read_bytes()
        except FileNotFoundError:
            raise DataError("gone", where=str(place)) from None
        if content[:1] != b"x":
            raise DataError("damaged", where=str(place))
        return content

    return cache.read(file, num_bytes, decoded), places[-1]


def copies() -> list[str]:
    return sorted(file.name for file in default_folder().iterdir() if file.name != "lock")


def test_a_file_is_fetched_once(tmp_path):
    file, cache = of_store(tmp_path), FileCache(10 * KB)
    content, place = read(cache, file)
    assert content == b"x" * KB
    assert place.path.startswith(str(default_folder()))
    os.unlink(file.path)
    assert read(cache, file) == (content, place)
    assert len(copies()) == 1


def test_without_room_or_on_a_disk_the_file_itself_is_read(tmp_path, monkeypatch):
    file = of_store(tmp_path)
    for cache in (FileCache(0), FileCache(KB - 1)):
        assert read(cache, file)[1] == file
    monkeypatch.setattr(StoragePath, "is_local", True)
    assert read(FileCache(10 * KB), file)[1] == file
    assert not default_folder().exists()


@pytest.mark.parametrize("how", ["deleted", "cut", "altered"])
def test_a_damaged_copy_is_not_read(tmp_path, how):
    file, cache = of_store(tmp_path), FileCache(10 * KB)
    read(cache, file)
    (copy,) = default_folder().glob("?" * 64)
    damaged(copy, how)
    if how == "altered":
        copy.write_bytes(b"y" * KB)
    assert read(cache, file)[0] == b"x" * KB
    assert read(cache, file)[0] == b"x" * KB


def test_a_damaged_file_is_told_by_its_own_name(tmp_path):
    file = of_store(tmp_path, content=b"y" * KB)
    with pytest.raises(DataError, match="damaged") as error:
        read(FileCache(10 * KB), file)
    assert error.value.where == str(file)
    assert copies() == []


def test_a_file_of_another_size_is_not_kept(tmp_path):
    file = of_store(tmp_path)
    assert read(FileCache(10 * KB), file, num_bytes=KB - 1)[1] == file
    assert copies() == []


def test_those_read_longest_ago_make_room_but_not_those_in_use(tmp_path):
    cache = FileCache(3 * KB)
    files = [of_store(tmp_path, name) for name in "abcde"]
    places = [read(cache, file)[1].path for file in files[:3]]
    read_now, old = places[0], places[1:]
    for age, place in enumerate(places):
        os.utime(place, (time.time() - LONG_AGO + age,) * 2)
    read(cache, files[0])
    assert read(cache, files[3])[1] != files[3]
    assert not os.path.exists(old[0])
    assert os.path.exists(read_now)
    assert os.path.exists(old[1])
    assert read(cache, files[4])[1] != files[4]
    assert not os.path.exists(old[1])
    assert read(cache, files[1])[1] == files[1], "all three were read just now"
    assert len(copies()) == 3


def test_at_most_half_of_the_free_disk_is_taken(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=2 * KB - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    file = of_store(tmp_path)
    assert read(FileCache(10 * KB), file)[1] == file
    free = free._replace(free=2 * KB)
    assert read(FileCache(10 * KB), file)[1] != file


def test_a_full_disk_is_told_once_and_stops_nothing(tmp_path, monkeypatch, caplog):
    tries = []

    def copyfileobj(source, target, size):
        tries.append(target.write(source.read(10)))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", copyfileobj)
    files = [of_store(tmp_path, name) for name in "ab"]
    for file in files:
        assert read(FileCache(10 * KB), file) == (b"x" * KB, file)
    assert len(tries) == 1
    assert copies() == []
    assert caplog.text.count("No space left") == 1


def test_what_a_killed_process_left_goes(tmp_path):
    default_folder().mkdir(parents=True)
    (default_folder() / "draft").write_bytes(b"y" * 5 * KB)
    file = of_store(tmp_path)
    assert read(FileCache(KB), file)[1] != file
    assert len(copies()) == 1


def test_processes_fetch_a_file_together(tmp_path, monkeypatch):
    file = of_store(tmp_path)
    copy, fetched = shutil.copyfileobj, tmp_path / "fetched"

    def copyfileobj(*arguments):
        with fetched.open("a") as log:
            log.write("x")
        time.sleep(0.1)
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", copyfileobj)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.starmap(read, [(FileCache(10 * KB), file)] * 8)
    assert {content for content, _ in found} == {b"x" * KB}
    assert len({place.path for _, place in found}) == 1
    assert fetched.read_text() == "x"
    assert len(copies()) == 1


def removed(path: str) -> None:
    for file in open_storage_path(path).children(recursive=True):
        if file.path.endswith(".parquet"):
            os.unlink(file.path)


def test_train_val_and_test_are_fetched_once_for_all_epochs(tmp_path):
    split, cache = tiny_split(60, 4, num_classes=3), FileCache(10**9)
    train = prepared_of(tmp_path / "train", split, 3)
    val = prepared_of(tmp_path / "val", split, 3, name="val")
    shards = made_shards(train, "train", RunEvents())
    streamed, held = StreamedSplit(shards, cache=cache), FileSplit(val, "val", 1, cache)
    expected = [
        read_steps(StreamedSplit(shards), global_batch_size=8, epoch=epoch) for epoch in (1, 2)
    ]
    found = [read_steps(streamed, global_batch_size=8, epoch=1)]
    before = list(held.pieces())
    removed(train.path)
    removed(val.path)
    found.append(read_steps(streamed, global_batch_size=8, epoch=2))
    for steps, wanted in zip(found, expected, strict=True):
        for step, one in zip(steps, wanted, strict=True):
            np.testing.assert_array_equal(step.row_ids, one.row_ids)
            np.testing.assert_array_equal(step.split.token_ids, one.split.token_ids)
    for (ids, rows), (wanted_ids, wanted_rows) in zip(held.pieces(), before, strict=True):
        np.testing.assert_array_equal(ids, wanted_ids)
        np.testing.assert_array_equal(rows.token_ids, wanted_rows.token_ids)
    with pytest.raises(DataError, match="missing"):
        read_steps(StreamedSplit(shards), global_batch_size=8, epoch=2)
