import numpy as np
import pytest

from rnnlane.data.batches.apportionment import step_class_counts
from rnnlane.data.batches.windows import Windows, class_order

SHARDS = [[5, 5, 2], [4], [5, 1], [3, 3, 3, 1], [6]]


@pytest.mark.parametrize("num_open", [1, 2, 9])
@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_reads_each_shard_once_from_front_to_back_and_few_at_once(num_open, epoch):
    order = class_order(SHARDS, seed=1, epoch=epoch, label=0, num_open=num_open)
    pairs = list(zip(order.shards.tolist(), order.groups.tolist(), strict=True))
    assert sorted(pairs) == [(s, g) for s, rows in enumerate(SHARDS) for g in range(len(rows))]
    for shard in range(len(SHARDS)):
        assert [g for s, g in pairs if s == shard] == list(range(len(SHARDS[shard])))
    spans = [[i for i, (s, _) in enumerate(pairs) if s == shard] for shard in range(len(SHARDS))]
    at_once = [sum(span[0] <= i <= span[-1] for span in spans) for i in range(len(pairs))]
    assert max(at_once) <= num_open


def test_epochs_and_classes_have_orders_of_their_own():
    shards = [[1] * 3] * 9
    orders = {
        tuple(class_order(shards, seed=0, epoch=epoch, label=label).shards.tolist())
        for epoch in range(4)
        for label in range(4)
    }
    assert len(orders) == 16


def test_pieces_are_the_rows_between_two_places():
    order = class_order(SHARDS, seed=1, epoch=3, label=2, num_open=3)
    rows = [
        (shard, group, row)
        for shard, group in zip(order.shards.tolist(), order.groups.tolist(), strict=True)
        for row in range(SHARDS[shard][group])
    ]
    for start in range(0, len(rows), 3):
        for stop in range(start, len(rows) + 1, 2):
            pieces = order.pieces(start, stop)
            found = [(s, g, row) for s, g, first, last in pieces for row in range(first, last)]
            assert found == rows[start:stop]


@pytest.mark.parametrize("counts", [[7], [100, 3, 0, 41], [0, 5, 5], list(range(1, 19))])
@pytest.mark.parametrize("num_steps", [1, 3, 50])
def test_windows_have_the_steps_of_an_epoch_wherever_they_begin(counts, num_steps):
    counts = np.array(counts)
    present = counts > 0
    expected = np.zeros((-(-counts.sum() // 4), len(counts)), dtype=np.int64)
    expected[:, present] = step_class_counts(counts[present], global_batch_size=4)
    whole = Windows(counts, global_batch_size=4, num_steps=num_steps)
    for number in range(whole.num_windows):
        fresh = Windows(counts, global_batch_size=4, num_steps=num_steps)
        for windows in (whole, fresh):
            found = list(windows.starting_at(number))
            assert [window.number for window in found] == list(range(number, whole.num_windows))
            first = number * num_steps
            np.testing.assert_array_equal(
                np.concatenate([window.counts for window in found]), expected[first:]
            )
            np.testing.assert_array_equal(found[0].before, expected[:first].sum(axis=0))
            np.testing.assert_array_equal(found[-1].after, counts)
