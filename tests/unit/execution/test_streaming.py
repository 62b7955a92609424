"""Whether train is held in memory or streamed."""

import logging
import shutil

import numpy as np
import pytest

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import FileSplit
from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.execution import streaming
from rnnlane.execution.pretraining import pretraining_data
from rnnlane.execution.streaming import encoded_bytes, streamed_splits
from rnnlane.training.loop import TRAIN_AND_VAL
from support.events import Remembered
from support.shards import prepared_of
from support.tiny import tiny_experiment, tiny_split
from support.tracked import tiny_prepared


@pytest.fixture
def prepared(tmp_path):
    return prepared_of(tmp_path / "prepared", tiny_split(200, 1, 2), 2)


def streams(prepared, *overrides):
    events = Remembered()
    config = tiny_experiment(*overrides)
    found = streamed_splits(config, prepared, refits=False, events=events)
    return set(found) == {"train"}, events.notes


def test_small_data_is_held_in_memory_and_the_key_decides_otherwise(prepared, monkeypatch):
    monkeypatch.setattr(streaming, "least_memory", lambda: 1.0)
    assert streams(prepared) == (False, [])
    assert streams(prepared, "data.feed=resident") == (False, [])
    assert streams(prepared, "data.feed=streaming") == (
        True,
        ["train is streamed from shards (data.feed: streaming)"],
    )


def test_shards_are_laid_out_once(prepared):
    (one,), (other,) = (
        streamed_splits(
            tiny_experiment("data.feed=streaming"), prepared, refits=False, events=Remembered()
        ).values()
        for _ in range(2)
    )
    assert one.shards.manifest == other.shards.manifest
    assert len(one) == 200
    split = prepared.split("train")
    np.testing.assert_array_equal(one.class_counts(2), split.class_counts(2))


def test_auto_streams_what_takes_too_much_of_the_smallest_node_and_says_why(
    prepared, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    size = encoded_bytes(prepared)
    monkeypatch.setattr(streaming, "ALWAYS_RESIDENT_BYTES", size)
    monkeypatch.setattr(streaming, "least_memory", lambda: 4.0 * size)
    assert streams(prepared) == (False, [])
    assert f"the texts are held in memory: {size} bytes of at most {size}" in caplog.text
    monkeypatch.setattr(streaming, "least_memory", lambda: 3.9 * size)
    is_streamed, (note,) = streams(prepared)
    assert is_streamed
    assert "more than 25% of the smallest node's" in note
    assert note.endswith("train is streamed from shards (data.feed: auto)")


def test_a_refit_streams_train_and_val_too(prepared, tmp_path):
    val = prepared_of(tmp_path / "val", tiny_split(200, 2, 2), 2, name="val")
    shutil.copytree(tmp_path / "val" / "data" / "val", tmp_path / "prepared" / "data" / "val")
    files = {
        kind: {**getattr(prepared.manifest, kind), **getattr(val.manifest, kind)}
        for kind in ("files", "checksums")
    }
    stats = {**prepared.manifest.splits, "val": val.manifest.splits["val"]}
    manifest = prepared.manifest.model_copy(update={**files, "splits": stats})
    prepared = PreparedData(prepared.path, manifest)
    config = tiny_experiment("data.feed=streaming", "runtime.cache_gb=3")
    streamed = streamed_splits(config, prepared, refits=True, events=Remembered())
    assert set(streamed) == {"train", TRAIN_AND_VAL}
    assert len(streamed[TRAIN_AND_VAL]) == 2 * len(streamed["train"]) == 400
    assert {one.cache for one in streamed.values()} == {FileCache(3 * 10**9)}


@pytest.mark.parametrize("feed", ["streaming", "resident"])
def test_texts_of_a_language_model_are_read_from_files_where_they_are_streamed(
    prepared, feed, monkeypatch
):
    stats = {"train": prepared.manifest.splits["train"]}
    manifest = prepared.manifest.model_copy(update={"splits": stats})
    prepared, events = PreparedData(prepared.path, manifest), Remembered()
    monkeypatch.setattr(prepared, "vocabulary", tiny_prepared().vocabulary, raising=False)
    config = tiny_experiment(f"data.feed={feed}", "runtime.cache_gb=3")
    (rows,) = pretraining_data(config, prepared, events).splits.values()
    is_streamed = feed == "streaming"
    assert isinstance(rows, FileSplit if is_streamed else EncodedSplit)
    assert (
        events.notes
        == ["each node reads texts from a file of its own (data.feed: streaming)"][
            : int(is_streamed)
        ]
    )
