from __future__ import annotations

import hashlib
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches.apportionment import step_class_counts
from rnnlane.data.batches.plan import PLAN_VERSION, Planner, plan, plan_steps, share
from rnnlane.errors import DataError
from support.batch_plans import (
    Labels,
    counts_per_step,
    imbalanced_labels,
    lengths_like,
    padding,
    plan_of,
    sorted_plainly,
    together_again,
)


class TestPlan:
    @settings(deadline=None)
    @given(labels=imbalanced_labels(), size=st.integers(1, 64), epoch=st.integers(0, 3))
    def test_every_row_is_seen_exactly_once_and_only_the_last_step_is_short(
        self, labels: Labels, size: int, epoch: int
    ) -> None:
        steps = plan_of(labels, global_batch_size=size, epoch=epoch)

        full, rest = divmod(len(labels), size)
        assert [len(rows) for rows in steps] == [size] * full + [rest] * bool(rest)
        assert sorted(np.concatenate(steps).tolist()) == list(range(len(labels)))
        assert all(rows.dtype == np.int64 for rows in steps)

    @settings(deadline=None)
    @given(labels=imbalanced_labels(), size=st.integers(1, 64), max_buckets=st.integers(1, 60))
    def test_every_step_and_every_prefix_holds_floor_or_ceil_of_each_class_share(
        self, labels: Labels, size: int, max_buckets: int
    ) -> None:
        steps = plan_of(labels, global_batch_size=size, max_buckets=max_buckets)
        counts = counts_per_step(steps, labels)
        class_counts = np.bincount(labels)
        num_rows = len(labels)

        sizes = counts.sum(axis=1, keepdims=True)
        assert (np.abs(counts * num_rows - sizes * class_counts) < num_rows).all()
        distance = counts.cumsum(axis=0) * num_rows - sizes.cumsum(axis=0) * class_counts
        assert (np.abs(distance) < num_rows).all()

    def test_same_seed_and_epoch_give_the_same_plan_and_any_other_a_new_order(self) -> None:
        labels = np.arange(200) % 3
        plans = {
            (seed, epoch): np.concatenate(plan_of(labels, seed=seed, epoch=epoch)).tobytes()
            for seed in range(4)
            for epoch in range(4)
        }

        assert len(set(plans.values())) == 16
        assert plans[2, 3] == np.concatenate(plan_of(labels, seed=2, epoch=3)).tobytes()

    @pytest.mark.parametrize(
        ("class_counts", "size", "epoch", "digest"),
        [
            ([500, 500], 32, 0, "2ab5a4b0adbc8dfb"),
            ([500, 500], 32, 1, "6885ac2801ef1735"),
            ([900, 90, 9, 1], 4, 0, "37448b8f4b810b87"),
        ],
    )
    def test_order_is_frozen(
        self, class_counts: list[int], size: int, epoch: int, digest: str
    ) -> None:
        """A changed order needs another PLAN_VERSION: running experiments cannot be resumed."""
        assert PLAN_VERSION == 2
        labels = np.repeat(np.arange(len(class_counts)), class_counts)
        lengths = 1 + np.arange(len(labels)) * 7919 % 400
        steps = plan(labels, lengths, global_batch_size=size, seed=7, epoch=epoch)

        rows = np.concatenate(steps).astype("<i8")
        assert hashlib.sha256(rows.tobytes()).hexdigest()[:16] == digest

    @pytest.mark.parametrize(
        ("num_rows", "size", "max_length", "most_padding"),
        [
            (1000, 32, 400, 0.10),
            (1600, 32, 400, 0.06),
            (2100, 64, 400, 0.08),
            (22_300, 512, 400, 0.06),
            (22_300, 32, 400, 0.03),
            (1600, 32, 40, 0.10),
            (22_300, 512, 40, 0.08),
        ],
    )
    def test_every_epoch_has_new_batches_of_rows_of_like_length(
        self, num_rows: int, size: int, max_length: int, most_padding: float
    ) -> None:
        labels = np.arange(num_rows) % 2
        lengths = np.minimum(lengths_like(labels) * max_length // 400 + 1, max_length)
        epochs = [
            plan_of(labels, lengths=lengths, global_batch_size=size, epoch=epoch)
            for epoch in range(1, 5)
        ]

        neighbors = list(pairwise(epochs))
        assert np.mean([together_again(*pair, num_rows) for pair in neighbors]) < 0.36
        for pair in combinations(epochs, 2):
            assert together_again(*pair, num_rows) < 0.5
        for steps in epochs:
            assert padding(steps, lengths) < most_padding

    @pytest.mark.parametrize("num_rows", [100, 300, 1000])
    @pytest.mark.parametrize("size", [16, 32, 64, 128])
    def test_an_epoch_of_few_steps_has_batches_nearly_as_new_as_random_ones(
        self, num_rows: int, size: int
    ) -> None:
        labels = np.arange(num_rows) % 3

        def again(max_buckets: int) -> float:
            epochs = [
                plan_of(labels, global_batch_size=size, epoch=epoch, max_buckets=max_buckets)
                for epoch in range(8)
            ]
            return float(np.mean([together_again(*pair, num_rows) for pair in pairwise(epochs)]))

        assert again(50) < max(0.4, again(1) + 0.05)

    def test_one_bucket_leaves_the_order_random(self) -> None:
        labels = np.arange(6400) % 2
        lengths = np.minimum(lengths_like(labels), 400)
        steps = plan_of(labels, lengths=lengths, global_batch_size=32, max_buckets=1)
        assert padding(steps, lengths) > 0.4

    def test_buckets_are_smaller_where_lengths_rise_faster(self) -> None:
        """For a long tail, which would otherwise cost most of the padding."""
        labels = np.arange(3200) % 2
        lengths = lengths_like(labels)
        steps = plan_of(labels, lengths=lengths, global_batch_size=32)
        even = plan_of(labels, lengths=np.argsort(np.argsort(lengths)), global_batch_size=32)
        assert padding(steps, lengths) < 0.8 * padding(even, lengths)

    def test_long_and_short_steps_are_mixed_over_the_epoch(self) -> None:
        labels = np.arange(6400) % 2
        lengths = lengths_like(labels)
        steps = plan_of(labels, lengths=lengths, global_batch_size=32)

        means = np.array([lengths[rows].mean() for rows in steps])
        assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2
        assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2

    def test_rows_of_a_step_are_ordered_by_class_then_length(self) -> None:
        labels = np.arange(100) % 3
        lengths = lengths_like(labels)
        for rows in plan_of(labels, lengths=lengths):
            keys = list(zip(labels[rows], lengths[rows], strict=True))
            assert keys == sorted(keys)

    def test_labels_may_be_any_integers(self) -> None:
        labels = np.arange(50) % 2
        strange = np.where(labels == 0, -5, 1_000_000).astype(np.int32)

        for plain, renamed in zip(
            plan_of(labels), plan_of(strange, lengths=lengths_like(labels)), strict=True
        ):
            np.testing.assert_array_equal(plain, renamed)

    def test_no_rows_are_refused(self) -> None:
        with pytest.raises(DataError, match="at least one row"):
            plan_of(np.array([], dtype=np.int64))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"global_batch_size": 0}, "global_batch_size must be at least 1, but got 0"),
            ({"max_buckets": 0}, "max_buckets must be at least 1, but got 0"),
            ({"lengths": np.ones(3)}, r"\(4,\) and \(3,\)"),
        ],
    )
    def test_bad_arguments_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            plan_of(np.array([0, 1, 0, 1]), **changes)


class TestPlanner:
    @settings(deadline=None)
    @given(
        labels=imbalanced_labels(),
        size=st.integers(1, 64),
        epoch=st.integers(0, 3),
        max_buckets=st.integers(1, 60),
        num_lengths=st.sampled_from([1, 4, 50, 2**40]),
    )
    def test_an_order_is_what_three_plain_sorts_give(
        self, labels: Labels, size: int, epoch: int, max_buckets: int, num_lengths: int
    ) -> None:
        lengths = np.random.default_rng(epoch).integers(0, num_lengths, len(labels))
        planner = Planner.of_split(
            labels, lengths, global_batch_size=size, seed=5, max_buckets=max_buckets
        )
        expected = sorted_plainly(
            labels, lengths, global_batch_size=size, seed=5, epoch=epoch, max_buckets=max_buckets
        )
        for _ in range(2):
            np.testing.assert_array_equal(planner.order(epoch), expected)
            planner.order(epoch + 1)

    @settings(deadline=None)
    @given(labels=imbalanced_labels(), size=st.integers(1, 64))
    def test_with_the_counts_of_an_epoch_it_is_the_plan(self, labels: Labels, size: int) -> None:
        lengths = lengths_like(labels)
        counts = step_class_counts(np.bincount(labels), global_batch_size=size)
        given_counts = plan_steps(labels, lengths, counts, seed=0, epoch=1)
        for rows, same in zip(
            plan_of(labels, global_batch_size=size, epoch=1), given_counts, strict=True
        ):
            np.testing.assert_array_equal(rows, same)

    def test_a_part_of_an_epoch_has_its_counts_and_an_order_of_its_own(self) -> None:
        labels = np.repeat([0, 2], [30, 10])
        counts = np.array([[8, 0, 2], [7, 0, 3], [8, 0, 2], [7, 0, 3]])
        orders = []
        for window in (0, 1):
            steps = plan_steps(labels, labels + 1, counts, seed=0, epoch=1, window=window)
            np.testing.assert_array_equal(
                [np.bincount(labels[rows], minlength=3) for rows in steps], counts
            )
            orders.append(np.concatenate(steps).tolist())
        assert orders[0] != orders[1]

    def test_counts_of_other_rows_are_refused(self) -> None:
        with pytest.raises(ValueError, match="must add up to the rows of each class"):
            plan_steps(np.array([0, 0, 1]), np.ones(3), np.array([[1, 2]]), seed=0, epoch=0)


class TestShare:
    @settings(deadline=None)
    @given(labels=imbalanced_labels(), size=st.integers(1, 64), world_size=st.integers(1, 8))
    def test_shares_are_disjoint_complete_and_within_one_row(
        self, labels: Labels, size: int, world_size: int
    ) -> None:
        num_rows, class_counts = len(labels), np.bincount(labels)
        for rows in plan_of(labels, global_batch_size=size):
            shares = [share(rows, labels, rank=r, world_size=world_size) for r in range(world_size)]

            assert sorted(np.concatenate(shares).tolist()) == sorted(rows.tolist())
            sizes = [len(mine) for mine in shares]
            assert max(sizes) - min(sizes) <= 1
            # Floor or ceil of (b * n / N) / world_size, in whole numbers.
            counts = counts_per_step(shares, labels)
            whole = num_rows * world_size
            assert (np.abs(counts * whole - len(rows) * class_counts) < whole).all()

    def test_a_share_follows_the_order_given_within_each_class(self) -> None:
        labels = np.array([0, 1, 0, 1, 0, 1])
        rows = np.array([4, 5, 2, 1, 0, 3])

        assert share(rows, labels, rank=0, world_size=2).tolist() == [4, 0, 1]
        assert share(rows, labels, rank=1, world_size=2).tolist() == [2, 5, 3]

    def test_a_rank_without_a_row_gets_an_empty_share(self) -> None:
        mine = share(np.array([1]), np.array([0, 0]), rank=3, world_size=4)

        assert mine.shape == (0,)
        assert mine.dtype == np.int64

    @pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
    def test_a_rank_outside_the_world_is_refused(self, rank: int, world_size: int) -> None:
        with pytest.raises(ValueError, match="0 <= rank < world_size must hold"):
            share(np.array([0]), np.array([0]), rank=rank, world_size=world_size)
