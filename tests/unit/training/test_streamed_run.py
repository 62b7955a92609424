"""Runs whose train split is read from shards."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnlane.data.batches.encoded import appended
from rnnlane.errors import CheckpointError
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TRAIN_AND_VAL, run_training
from support.events import Remembered
from support.runs import ALONE, assert_same_run, timeless, trained
from support.shards import streamed
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment
from support.workers import in_worker_group

EVERY_STEP = ("training.checkpoint_every_s=1e-9", "training.clip.policy=auto")


NGRAMS = "model.ngrams={bits: 6, max_words: 2}"


def as_shards(data, **shards):
    """Train, and train and val, as shards; the other splits stay in memory."""
    held = {name: split for name, split in data.splits.items() if name != "train"}
    both = appended(data.splits["train"], held["val"])
    of_train = {
        "train": streamed(data.splits["train"], **shards),
        TRAIN_AND_VAL: streamed(both, **shards),
    }
    return replace(data, splits=held, streamed=of_train)


def streamed_run(*overrides, events=None, start=None, group=ALONE, **shards):
    config, data = tiny_experiment(*overrides), as_shards(tiny_data(), **shards)
    return run_training(config, data, group=group, events=events or Remembered(), start=start)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_in_one_window_a_run_is_that_of_rows_in_memory(weights):
    overrides = ("training.clip.policy=auto", f"training.class_weights={weights}")
    with_names = {"class_names": ("a", "b")} if weights == "balanced" else {}
    config, data = tiny_experiment(*overrides), replace(tiny_data(), **with_names)
    whole = run_training(config, data, group=ALONE, events=Remembered())
    read = run_training(config, as_shards(data, window_steps=9), group=ALONE, events=Remembered())
    assert_same_run(read, whole)


@pytest.mark.parametrize(
    "settings", [("training.refit=true",), (NGRAMS,), (NGRAMS, "training.refit=true")]
)
def test_so_are_a_refit_and_a_model_with_ngrams(settings):
    assert_same_run(streamed_run(*settings, window_steps=99), trained(*settings))


def _run_of_worker(group, settings):
    return streamed_run(*settings, group=group, window_steps=3)


def test_ngrams_start_and_learn_alike_whoever_counts_which_rows():
    settings = (NGRAMS, "training.refit=true", "training.reduction_shards=4")
    alone = streamed_run(*settings, window_steps=3)
    for outcome in in_worker_group(3, _run_of_worker, settings):
        assert_same_run(outcome, alone)


def test_a_refit_goes_on_bit_identical_and_with_the_order_it_began_with(tmp_path):
    settings = (*EVERY_STEP, "training.refit=true", NGRAMS)
    events = Remembered(tmp_path)
    whole = streamed_run(*settings, events=events)
    last = events.checkpoints[-3]
    assert_same_run(streamed_run(*settings, start=last), whole)
    with pytest.raises(CheckpointError, match="in other shards"):
        streamed_run(*settings, start=last, rows_of_group=5)
    with pytest.raises(CheckpointError, match="that of streaming train data, but"):
        trained(*settings, start=last)


def test_a_run_goes_on_bit_identical_in_any_window(tmp_path):
    events = Remembered(tmp_path)
    whole = streamed_run(*EVERY_STEP, events=events)
    assert timeless(whole.history) != timeless(trained(*EVERY_STEP).history)
    assert len(events.checkpoints) == 18
    for number in (2, 3, 12):
        assert_same_run(streamed_run(*EVERY_STEP, start=events.checkpoints[number]), whole)


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
