import numpy as np
import pytest
import torch

from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment


def feed_of(rank: int = 0, world_size: int = 1) -> TrainFeed:
    return TrainFeed(
        tiny_data().splits["train"],
        tiny_experiment().training,
        seed=0,
        vocabulary_size=VOCABULARY_SIZE,
        group=WorkerGroup(rank, world_size, torch.device("cpu")),
    )


def tokens_of(batch) -> list[list[int]]:
    """The tokens of the real rows."""
    token_ids = batch.active.ids[batch.active.positions]
    return [
        row[:length].tolist()
        for row, length, weight in zip(token_ids, batch.lengths, batch.weights, strict=True)
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
        assert sum(part.num_tokens for part in parts) == batch.num_tokens
        for part in parts:
            assert torch.equal(part.active.ids, batch.active.ids)
            assert part.num_rows == batch.num_rows
            assert len(part.lengths) == len(parts[0].lengths)


def test_an_epoch_can_be_entered_at_any_step():
    whole, rest = list(feed_of().steps(2)), list(feed_of().steps(2, start=4))
    assert len(rest) == len(whole) - 4
    for one, other in zip(whole[4:], rest, strict=True):
        assert tokens_of(one) == tokens_of(other)
        assert torch.equal(one.labels, other.labels)


def test_rows_come_longest_first_and_take_time():
    for batch in feed_of().steps(1):
        assert (np.diff(batch.lengths) <= 0).all()
        assert batch.data_s > 0
