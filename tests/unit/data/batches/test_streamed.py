import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import plan, share
from rnnlane.errors import DataError
from support.shards import read_steps, streamed


def rows_of(num_rows: int, num_classes: int, seed: int = 0) -> EncodedSplit:
    """Rows of 1 to 4 known tokens; some classes are rare, and some may have no row."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 5, num_rows)
    offsets = np.append(0, np.cumsum(lengths))
    labels = np.minimum(random.geometric(0.3, num_rows) - 1, num_classes - 1)
    tokens = random.integers(2, 99, offsets[-1]).astype(np.int32)
    return EncodedSplit(tokens, offsets, labels.astype(np.int64))


def resident(split: EncodedSplit, global_batch_size: int, epoch: int = 1) -> list[np.ndarray]:
    return plan(
        split.labels, split.lengths, global_batch_size=global_batch_size, seed=3, epoch=epoch
    )


@st.composite
def tasks(draw):
    num_rows = draw(st.one_of(st.integers(1, 400), st.sampled_from([2_000, 20_000])))
    batch_size = draw(st.integers(max(1, num_rows // 150), max(1, num_rows // 2)))
    rows_of_group = draw(st.integers(max(1, num_rows // 100), num_rows))
    return {
        "num_rows": num_rows,
        "num_classes": draw(st.integers(1, 18)),
        "global_batch_size": batch_size,
        "window_steps": draw(st.integers(1, 40)),
        "rows_of_group": rows_of_group,
        "rows_of_shard": rows_of_group * draw(st.integers(1, 5)),
        "num_open": draw(st.integers(1, 8)),
        "world_size": draw(st.integers(1, 8)),
        "epoch": draw(st.integers(0, 3)),
        "start": draw(st.integers(0, 10**6)),
    }


@settings(max_examples=25, deadline=None)
@given(tasks())
def test_every_row_comes_once_in_steps_of_the_classes_that_they_have_in_memory(task):
    num_rows, num_classes = task["num_rows"], task["num_classes"]
    batch_size, epoch = task["global_batch_size"], task["epoch"]
    split = rows_of(num_rows, num_classes)
    read = streamed(
        split,
        num_classes,
        rows_of_shard=task["rows_of_shard"],
        rows_of_group=task["rows_of_group"],
        window_steps=task["window_steps"],
        num_open=task["num_open"],
    )
    expected = resident(split, batch_size, epoch)
    steps = read_steps(read, global_batch_size=batch_size, epoch=epoch)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([step.row_ids for step in steps])), np.arange(num_rows)
    )
    for step, rows in zip(steps, expected, strict=True):
        held = split.take(step.row_ids)
        np.testing.assert_array_equal(step.split.token_ids, held.token_ids)
        np.testing.assert_array_equal(step.split.labels, held.labels)
        np.testing.assert_array_equal(np.sort(held.labels), np.sort(split.labels[rows]))
        shares = [
            share(step.rows, step.split.labels, rank=rank, world_size=task["world_size"])
            for rank in range(task["world_size"])
        ]
        assert sorted(np.concatenate(shares)) == list(range(len(rows)))
    shards_read = read.shards.reads
    assert len(shards_read) == len(set(shards_read)), "a row group is decoded once an epoch"
    by_shard: dict[tuple[int, int], list[int]] = {}
    for label, shard, group in shards_read:
        by_shard.setdefault((label, shard), []).append(group)
    assert all(groups == list(range(len(groups))) for groups in by_shard.values())
    if read.order_id(batch_size) is None:
        for step, rows in zip(steps, expected, strict=True):
            np.testing.assert_array_equal(step.row_ids, rows)

    start = task["start"] % len(steps)
    shards_read.clear()
    windows: list[int] = []
    rest = read_steps(
        read,
        global_batch_size=batch_size,
        epoch=epoch,
        start=start,
        seen=lambda: windows.append(len(shards_read)),
    )
    for step, other in zip(steps[start:], rest, strict=True):
        np.testing.assert_array_equal(step.row_ids, other.row_ids)
        np.testing.assert_array_equal(step.split.token_ids, other.split.token_ids)
    assert len(shards_read) == len(set(shards_read))


def test_one_window_has_the_steps_of_rows_in_memory_and_others_mix_them_in_another_way():
    split = rows_of(500, 3)
    expected = resident(split, 16)
    one = streamed(split, 3, window_steps=32, rows_of_group=7)
    assert one.order_id(16) is None
    for step, rows in zip(read_steps(one, global_batch_size=16), expected, strict=True):
        np.testing.assert_array_equal(step.row_ids, rows)
    two = streamed(split, 3, window_steps=16, rows_of_group=7)
    assert two.order_id(16) != streamed(split, 3, window_steps=8, rows_of_group=7).order_id(16)
    assert two.order_id(16) != streamed(split, 3, window_steps=16, rows_of_group=5).order_id(16)


def test_windows_and_epochs_are_dealt_by_random_bits_of_their_own():
    split = rows_of(400, 1)
    read = streamed(split, 1, window_steps=5, rows_of_group=100, rows_of_shard=400)
    steps = read_steps(read, global_batch_size=20)
    places = [
        np.argsort(np.concatenate([step.row_ids for step in steps[at : at + 5]])).tolist()
        for at in (0, 5, 10)
    ]
    assert places[0] != places[1] != places[2]
    other = read_steps(read, global_batch_size=20, epoch=2)
    assert [s.row_ids.tolist() for s in steps] != [s.row_ids.tolist() for s in other]


def test_a_row_that_comes_twice_is_refused():
    split = rows_of(40, 1)
    read = streamed(split, 1, rows_of_group=10)
    read.shards._groups[0, 1, 0] = read.shards._groups[0, 0, 0]
    with pytest.raises(DataError, match="a row is there twice"):
        read_steps(read, global_batch_size=40)
