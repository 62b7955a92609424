"""Val and test that are read piece by piece when they are scored."""

import shutil
import zlib
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from rnnlane.data.batches.file_split import FileSplit
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.errors import DataError
from rnnlane.training.loop import run_training
from rnnlane.training.metrics import score
from support.events import Remembered
from support.runs import ALONE, timeless
from support.shards import prepared_of
from support.tiny import assert_same_rows, tiny_data, tiny_experiment, tiny_split
from support.workers import in_worker_group

SPLIT = tiny_split(120, 4, num_classes=3)
A_FILE_AT_A_TIME = 1


@pytest.fixture
def prepared(tmp_path):
    return prepared_of(tmp_path / "prepared", SPLIT, 3, num_files=5, name="val")


def by_length(token_ids, lengths):
    """Logits that depend on the row alone."""
    return torch.sin(lengths.unsqueeze(1) * token_ids[:, :1].float() + torch.arange(3))


def test_each_row_is_in_one_piece(prepared):
    held = FileSplit(prepared, "val", A_FILE_AT_A_TIME)
    assert len(held) == len(SPLIT)
    pieces = list(held.pieces())
    assert len(pieces) == 5
    found = np.concatenate([ids for ids, _ in pieces])
    assert sorted(found.tolist()) == list(range(len(SPLIT)))
    for ids, rows in pieces:
        assert (np.diff(ids) > 0).all()
        assert_same_rows(rows, SPLIT.take(ids))


def test_files_share_a_piece_until_it_is_large_enough(prepared):
    sizes = [prepared.manifest.files[name] for name in sorted(prepared.manifest.files)]
    first, *_ = FileSplit(prepared, "val", sizes[0] + sizes[1]).pieces()
    assert len(first[0]) == 48
    ((ids, rows),) = FileSplit(prepared, "val").pieces()
    np.testing.assert_array_equal(ids, np.arange(len(SPLIT)))
    np.testing.assert_array_equal(rows.token_ids, prepared.split("val").token_ids)


@pytest.mark.parametrize("fault", ["twice", "missing"])
@pytest.mark.parametrize("piece_bytes", [A_FILE_AT_A_TIME, 2**20])
def test_rows_that_are_missing_or_there_twice_are_refused(prepared, fault, piece_bytes):
    manifest = prepared.manifest
    first, second, *_ = names = sorted(manifest.files)
    if fault == "twice":
        folder = f"{prepared.path}/{manifest.data_folder}"
        shutil.copy(f"{folder}/{first}", f"{folder}/{second}")
        checksums = {**manifest.checksums, second: manifest.checksums[first]}
        manifest = manifest.model_copy(update={"checksums": checksums})
    else:
        files = {name: manifest.files[name] for name in names[:-1]}
        manifest = manifest.model_copy(update={"files": files})
    held = FileSplit(PreparedData(prepared.path, manifest), "val", piece_bytes)
    with pytest.raises(DataError, match="the rows of val must be 0 to 119"):
        score(by_length, held, group=ALONE)


class Noted(PreparedData):
    """Notes the files that are read."""

    parts_read: ClassVar[list[str]] = []

    def read_part(self, part, *arguments):
        self.parts_read.append(part)
        return super().read_part(part, *arguments)


def files_read(group, prepared):
    Noted.parts_read.clear()
    held = FileSplit(Noted(prepared.path, prepared.manifest), "val", A_FILE_AT_A_TIME)
    score(by_length, held, group=group)
    return list(Noted.parts_read)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_workers_share_the_reading_as_far_as_it_can_be_dealt_alike(prepared, world_size):
    by_worker = in_worker_group(world_size, files_read, prepared)
    names = sorted(prepared.manifest.files)
    num_dealt = len(names) // world_size * world_size
    for number, name in enumerate(names):
        readers = [rank for rank, files in enumerate(by_worker) if name in files]
        dealt = number < num_dealt
        assert readers == ([number % world_size] if dealt else list(range(world_size)))
    assert all(len(files) == len(set(files)) for files in by_worker)


def refusal(group, prepared):
    try:
        score(by_length, FileSplit(prepared, "val", A_FILE_AT_A_TIME), group=group)
    except DataError as error:
        return error.message
    return ""


@pytest.mark.parametrize("fault", ["twice", "missing", "both"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_no_worker_has_scores_of_rows_that_are_missing_or_there_twice(prepared, fault, world_size):
    """Of files that different workers read, so that none can see it alone."""
    manifest, names = prepared.manifest, sorted(prepared.manifest.files)
    folder = f"{prepared.path}/{manifest.data_folder}"
    files, checksums = dict(manifest.files), dict(manifest.checksums)
    if fault in ("twice", "both"):
        extra = names[1] if fault == "both" else "val/part-9.parquet"
        shutil.copy(f"{folder}/{names[0]}", f"{folder}/{extra}")
        files[extra], checksums[extra] = files[names[0]], checksums[names[0]]
    else:
        del files[names[1]]
    manifest = manifest.model_copy(update={"files": files, "checksums": checksums})
    found = in_worker_group(world_size, refusal, PreparedData(prepared.path, manifest))
    assert all("the rows of val must be 0 to 119" in message for message in found)


def test_a_file_that_is_altered_is_refused(prepared):
    name = max(prepared.manifest.files)
    manifest = prepared.manifest.model_copy(
        update={"checksums": {**prepared.manifest.checksums, name: zlib.crc32(b"")}}
    )
    held = FileSplit(PreparedData(prepared.path, manifest), "val", A_FILE_AT_A_TIME)
    with pytest.raises(DataError, match=f"{name} is not as it was written"):
        list(held.pieces())


def scores_of_pieces(group, prepared, piece_bytes):
    held = FileSplit(prepared, "val", piece_bytes)
    return score(by_length, held, group=group, kept=np.array([3, 100]), num_classes=3)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("piece_bytes", [A_FILE_AT_A_TIME, 2**20])
def test_scores_are_those_of_rows_in_memory(prepared, world_size, piece_bytes):
    expected = score(by_length, SPLIT, group=ALONE, kept=np.array([3, 100]), num_classes=3)
    for found in in_worker_group(world_size, scores_of_pieces, prepared, piece_bytes):
        np.testing.assert_array_equal(found.labels, SPLIT.labels)
        np.testing.assert_array_equal(found.predicted, expected.predicted)
        np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6)
        np.testing.assert_allclose(found.last_class, expected.last_class, rtol=1e-6)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-6)


def test_a_run_whose_val_and_test_are_one_piece_is_that_of_rows_in_memory(tmp_path):
    data, config = tiny_data(), tiny_experiment()
    held = {
        name: FileSplit(prepared_of(tmp_path / name, data.splits[name], 2, name=name), name)
        for name in ("val", "test")
    }
    read = replace(data, splits={**data.splits, **held})
    expected = run_training(config, data, group=ALONE, events=Remembered())
    found = run_training(config, read, group=ALONE, events=Remembered())
    assert timeless(found.history) == timeless(expected.history)
    for name, matrix in expected.confusions.items():
        np.testing.assert_array_equal(found.confusions[name], matrix)
