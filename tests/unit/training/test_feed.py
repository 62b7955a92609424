import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from rnnlane.data.batches import orders_ahead
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from support.runs import tiny_feed
from support.tiny import tiny_data, tiny_experiment


def feed_of(rank: int = 0, world_size: int = 1, *overrides: str) -> TrainFeed:
    group = WorkerGroup(rank, world_size, torch.device("cpu"))
    return tiny_feed(tiny_experiment(*overrides), group=group)


def num_tokens(shard) -> float:
    return float(shard.inputs.counts[1])


def tokens_of(batch) -> list[list[int]]:
    """The tokens of the real rows."""
    return [
        row[:length].tolist()
        for shard in batch.shards
        for row, length, weight in zip(
            shard.inputs.ids[shard.inputs.positions],
            shard.inputs.lengths,
            shard.inputs.weights,
            strict=True,
        )
        if weight > 0
    ]


def test_an_epoch_holds_every_row_once():
    split, feed = tiny_data().splits["train"], feed_of()
    rows = [row for batch in feed.steps(1) for row in tokens_of(batch)]
    tokens, offsets = split.token_ids, split.offsets
    expected = [tokens[offsets[i] : offsets[i + 1]].tolist() for i in range(len(split))]
    assert sorted(rows) == sorted(expected)
    assert (feed.num_rows, feed.num_steps) == (101, 9)


@pytest.mark.parametrize("world_size", [2, 3])
def test_workers_share_a_global_batch_and_agree_on_its_active_rows(world_size):
    alone = list(feed_of().steps(1))
    shares = [list(feed_of(rank, world_size).steps(1)) for rank in range(world_size)]
    for batch, *parts in zip(alone, *shares, strict=True):
        assert sorted(row for part in parts for row in tokens_of(part)) == sorted(tokens_of(batch))
        (whole,) = batch.shards
        assert sum(num_tokens(part.shards[0]) for part in parts) == num_tokens(whole)
        for part in parts:
            (shard,) = part.shards
            assert torch.equal(shard.inputs.ids, whole.inputs.ids)
            assert part.num_rows == batch.num_rows
            assert shard.shape.num_rows == parts[0].shards[0].shape.num_rows


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_a_shard_is_the_same_whichever_worker_has_it(world_size):
    sharded = "training.reduction_shards=4"
    alone = feed_of(0, 1, sharded).steps(1)
    workers = [feed_of(rank, world_size, sharded).steps(1) for rank in range(world_size)]
    for batch, *parts in zip(alone, *workers, strict=True):
        found = sorted((shard for part in parts for shard in part.shards), key=lambda s: s.number)
        assert [shard.number for shard in found] == [0, 1, 2, 3]
        for one, other in zip(batch.shards, found, strict=True):
            assert one.dropout_seed == other.dropout_seed
            assert torch.equal(one.inputs.positions, other.inputs.positions)
            assert torch.equal(one.inputs.weights, other.inputs.weights)
    assert len({shard.dropout_seed for shard in batch.shards}) == 4


def test_an_epoch_can_be_entered_at_any_step():
    whole, rest = list(feed_of().steps(2)), list(feed_of().steps(2, start=4))
    assert len(rest) == len(whole) - 4
    for one, other in zip(whole[4:], rest, strict=True):
        assert tokens_of(one) == tokens_of(other)
        assert torch.equal(one.shards[0].inputs.labels, other.shards[0].inputs.labels)
        assert one.shards[0].dropout_seed == other.shards[0].dropout_seed


def test_rows_come_longest_first_and_take_time():
    for batch in feed_of().steps(1):
        assert (np.diff(batch.shards[0].inputs.lengths) <= 0).all()
        assert batch.data_s > 0


def test_epochs_of_many_rows_are_planned_ahead_and_the_same(monkeypatch):
    expected = [[tokens_of(batch) for batch in feed_of().steps(epoch)] for epoch in (1, 2)]
    monkeypatch.setattr(orders_ahead, "THREAD_FROM_ROWS", 1)
    with closing(feed_of()) as feed:
        feed.expect(1)
        assert [[tokens_of(one) for one in feed.steps(epoch)] for epoch in (1, 2)] == expected
        assert [tokens_of(one) for one in feed.steps(1, start=4)] == expected[0][4:]
    assert not any(thread.name == "order-ahead" for thread in threading.enumerate())
