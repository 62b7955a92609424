"""Runs whose train split is read from shards."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnlane.errors import CheckpointError
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import run_training
from support.events import Remembered
from support.runs import ALONE, timeless, trained
from support.shards import streamed
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment

EVERY_STEP = ("training.checkpoint_every_s=1e-9", "training.clip.policy=auto")


def streamed_run(*overrides, events=None, start=None, **shards):
    data = tiny_data()
    of_train = {"train": streamed(data.splits["train"], **shards)}
    held = {name: split for name, split in data.splits.items() if name != "train"}
    data = replace(data, splits=held, streamed=of_train)
    config = tiny_experiment(*overrides)
    return run_training(config, data, group=ALONE, events=events or Remembered(), start=start)


def assert_same(one, other):
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)
    assert timeless(one.history) == timeless(other.history)
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_in_one_window_a_run_is_that_of_rows_in_memory(weights):
    overrides = ("training.clip.policy=auto", f"training.class_weights={weights}")
    with_names = {"class_names": ("a", "b")} if weights == "balanced" else {}
    config, data = tiny_experiment(*overrides), replace(tiny_data(), **with_names)
    whole = run_training(config, data, group=ALONE, events=Remembered())
    of_train = {"train": streamed(data.splits["train"], window_steps=9)}
    held = {name: split for name, split in data.splits.items() if name != "train"}
    read = run_training(
        config,
        replace(data, splits=held, streamed=of_train),
        group=ALONE,
        events=Remembered(),
    )
    assert_same(read, whole)


def test_a_run_goes_on_bit_identical_in_any_window(tmp_path):
    events = Remembered(tmp_path)
    whole = streamed_run(*EVERY_STEP, events=events)
    assert timeless(whole.history) != timeless(trained(*EVERY_STEP).history)
    assert len(events.checkpoints) == 18
    for number in (2, 3, 12):
        assert_same(streamed_run(*EVERY_STEP, start=events.checkpoints[number]), whole)


def test_a_run_ends_with_the_order_of_rows_that_it_began_with(tmp_path):
    events = Remembered(tmp_path)
    streamed_run(*EVERY_STEP, events=events)
    start = events.checkpoints[3]
    with pytest.raises(CheckpointError, match="that of streaming train data, but") as no:
        trained(*EVERY_STEP, start=start)
    assert (no.value.where, no.value.remedy) == ("data.feed", "set data.feed=streaming")
    with pytest.raises(CheckpointError, match="in other shards"):
        streamed_run(*EVERY_STEP, start=start, rows_of_group=5)
    held = Remembered(tmp_path / "held")
    trained(*EVERY_STEP, events=held)
    with pytest.raises(CheckpointError, match="that of resident train data, but"):
        streamed_run(*EVERY_STEP, start=held.checkpoints[3])


@pytest.mark.parametrize("world_size", [1, 3])
def test_workers_share_the_steps_of_all_windows(world_size):
    split = tiny_data().splits["train"]
    found = np.zeros(len(split), dtype=int)
    shards = streamed(split, window_steps=3)
    for rank in range(world_size):
        feed = TrainFeed(
            shards,
            tiny_experiment().training,
            seed=0,
            vocabulary_size=VOCABULARY_SIZE,
            group=WorkerGroup(rank, world_size, torch.device("cpu")),
        )
        assert (feed.num_rows, feed.num_steps) == (101, 9)
        for batch in feed.steps(1):
            (shard,) = batch.shards
            found[: int(shard.inputs.weights.sum())] += 1
    assert found.sum() == 101
