from __future__ import annotations

import doctest
import hashlib
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest

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


def test_a_few_steps_of_an_epoch_of_billions_of_rows_can_be_had() -> None:
    rows = np.array([9 * 10**9, 10**9 - 1, 7])
    steps = iterate_class_counts(rows, global_batch_size=1000)
    counts = np.array(list(islice(steps, 5)))
    assert (counts.sum(axis=1) == 1000).all()
    assert_floor_or_ceil(counts, np.full(5, 1000), rows)


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
    assert results.attempted >= 1
    assert results.failed == 0
