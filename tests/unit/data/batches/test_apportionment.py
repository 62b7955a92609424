from __future__ import annotations

import doctest
import hashlib
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches import apportionment
from rnnlane.data.batches.apportionment import iterate_class_counts, step_class_counts


def assert_floor_or_ceil(
    counts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], class_counts: npt.NDArray[np.int64]
) -> None:
    """Each count is floor or ceil of rows * n / N; in whole numbers, |count * N - rows * n| < N."""
    num_rows = class_counts.sum()
    distance = np.abs(counts * num_rows - rows[:, None] * class_counts)
    assert (distance < num_rows).all()


def assert_fair(class_counts: npt.NDArray[np.int64], global_batch_size: int) -> None:
    counts = step_class_counts(class_counts, global_batch_size=global_batch_size)
    num_rows = int(class_counts.sum())
    starts = np.arange(0, num_rows, global_batch_size)
    sizes = np.minimum(global_batch_size, num_rows - starts)

    assert counts.min() >= 0
    np.testing.assert_array_equal(counts.sum(axis=1), sizes)
    np.testing.assert_array_equal(counts.sum(axis=0), class_counts)
    assert_floor_or_ceil(counts, sizes, class_counts)
    assert_floor_or_ceil(counts.cumsum(axis=0), sizes.cumsum(), class_counts)


@settings(deadline=None, max_examples=200)
@given(
    class_counts=st.lists(st.integers(1, 200), min_size=1, max_size=18),
    global_batch_size=st.integers(1, 64),
)
def test_every_step_and_every_prefix_is_within_one_row(
    class_counts: list[int], global_batch_size: int
) -> None:
    assert_fair(np.array(class_counts), global_batch_size)


@pytest.mark.parametrize(
    ("class_counts", "global_batch_size"),
    [
        pytest.param([2, 2, 2, 3, 3], 3, id="deadlines-alone-fail"),
        pytest.param([15, 15, 6, 12, 15, 6, 6, 15], 22, id="the-b-bit-decides"),
        pytest.param([5, 5, 2, 5, 2, 3, 3, 3], 9, id="the-group-deadline-decides"),
        pytest.param([200, 1], 32, id="one-row-of-a-class"),
        pytest.param([200] * 17 + [1], 8, id="more-classes-than-a-step-has-rows"),
        pytest.param([3, 4], 100, id="one-step"),
        pytest.param([1], 1, id="one-row"),
        pytest.param([64, 32], 32, id="every-share-is-a-whole-number"),
    ],
)
def test_hard_cases_are_within_one_row(class_counts: list[int], global_batch_size: int) -> None:
    assert_fair(np.array(class_counts), global_batch_size)


def test_a_rare_class_is_spread_evenly_over_the_steps() -> None:
    counts = step_class_counts(np.array([990, 10]), global_batch_size=10)

    rare_steps = np.flatnonzero(counts[:, 1])

    np.testing.assert_array_equal(rare_steps // 10, np.arange(10))


def test_counts_stay_exact_where_products_exceed_floating_point() -> None:
    assert_fair(np.array([10**9 + 7, 998_244_353, 10**9 - 63]), 10**8 + 1)


@settings(deadline=None, max_examples=200)
@given(
    class_counts=st.lists(st.integers(1, 200), min_size=1, max_size=18),
    global_batch_size=st.integers(1, 64),
    share=st.floats(0, 1.1),
)
def test_the_steps_come_one_by_one_from_any_step_on(
    class_counts: list[int], global_batch_size: int, share: float
) -> None:
    rows = np.array(class_counts)
    whole = step_class_counts(rows, global_batch_size=global_batch_size)
    start = round(share * len(whole))
    before = whole[:start].sum(axis=0)
    steps = iterate_class_counts(
        rows, global_batch_size=global_batch_size, start=start, before=before
    )
    assert [counts.tolist() for counts in steps] == whole[start:].tolist()


def test_a_few_steps_of_an_epoch_of_billions_of_rows_can_be_had() -> None:
    rows = np.array([9 * 10**9, 10**9 - 1, 7])
    steps = iterate_class_counts(rows, global_batch_size=1000)
    counts = np.array(list(islice(steps, 5)))
    assert (counts.sum(axis=1) == 1000).all()
    assert_floor_or_ceil(counts, np.full(5, 1000), rows)


@pytest.mark.parametrize("before", [[12, 0], [7, 3], [3, 1]])
def test_rows_before_that_no_steps_hold_are_refused(before: list[int]) -> None:
    steps = iterate_class_counts(
        np.array([12, 4]), global_batch_size=4, start=3, before=np.array(before)
    )
    with pytest.raises(ValueError, match="the first 3 steps"):
        next(steps)


@pytest.mark.parametrize(
    ("class_counts", "global_batch_size", "digest"),
    [
        ([500, 300, 120, 60, 19, 1], 7, "fea404e167ab53ac"),
        ([15, 15, 6, 12, 15, 6, 6, 15], 22, "54e1236e34a25f2a"),
        ([101] * 17 + [1], 8, "2c85f8b4a3ab5cae"),
    ],
)
def test_counts_are_frozen(class_counts: list[int], global_batch_size: int, digest: str) -> None:
    """Other counts need another PLAN_VERSION, as they are part of every plan."""
    counts = step_class_counts(np.array(class_counts), global_batch_size=global_batch_size)
    assert hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()[:16] == digest


def test_the_worked_examples_hold() -> None:
    results = doctest.testmod(apportionment)
    assert results.attempted > 1
    assert results.failed == 0
