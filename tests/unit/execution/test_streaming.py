"""Whether train is held in memory or streamed."""

import logging
import shutil

import numpy as np
import pytest

from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.errors import ConfigError
from rnnlane.execution import streaming
from rnnlane.execution.data_checks import check_language_model
from rnnlane.execution.streaming import encoded_bytes, streamed_splits
from rnnlane.training.loop import TRAIN_AND_VAL
from support.events import Remembered
from support.shards import prepared_of
from support.tiny import tiny_experiment, tiny_split


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
    assert f"train is held in memory: {size} bytes of at most {size}" in caplog.text
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


def test_a_language_model_refuses_to_be_streamed():
    with pytest.raises(ConfigError, match="held in memory, but got streaming"):
        check_language_model(tiny_experiment("data.feed=streaming"))
