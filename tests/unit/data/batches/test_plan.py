from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches.plan import plan, share
from rnnlane.errors import DataError
from support.batch_plans import Labels, counts_per_step, imbalanced_labels, lengths_like, plan_of


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
    @given(labels=imbalanced_labels(), size=st.integers(1, 64), window=st.integers(1, 60))
    def test_every_step_and_every_prefix_holds_floor_or_ceil_of_each_class_share(
        self, labels: Labels, size: int, window: int
    ) -> None:
        counts = counts_per_step(plan_of(labels, global_batch_size=size, window=window), labels)
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
            ([500, 500], 32, 0, "75aec9770388b6b2"),
            ([500, 500], 32, 1, "13efe474d8dc4745"),
            ([900, 90, 9, 1], 4, 0, "eb881e85274d99ba"),
        ],
    )
    def test_order_is_frozen(
        self, class_counts: list[int], size: int, epoch: int, digest: str
    ) -> None:
        """A changed order breaks the resumption of running experiments: change it on purpose."""
        labels = np.repeat(np.arange(len(class_counts)), class_counts)
        lengths = 1 + np.arange(len(labels)) * 7919 % 400
        steps = plan(labels, lengths, global_batch_size=size, seed=7, epoch=epoch)

        rows = np.concatenate(steps).astype("<i8")
        assert hashlib.sha256(rows.tobytes()).hexdigest()[:16] == digest

    def test_rows_of_like_length_share_a_step(self) -> None:
        labels = np.arange(6400) % 2
        lengths = np.minimum(lengths_like(labels), 400)

        def padding(window: int) -> float:
            steps = plan_of(labels, lengths=lengths, global_batch_size=32, window=window)
            padded = sum(len(rows) * lengths[rows].max() for rows in steps)
            return float(1 - lengths.sum() / padded)

        assert padding(window=1) > 0.4
        assert padding(window=50) < 0.05

    def test_long_and_short_steps_are_mixed_over_the_epoch(self) -> None:
        labels = np.arange(6400) % 2
        lengths = lengths_like(labels)
        steps = plan_of(labels, lengths=lengths, global_batch_size=32)

        means = np.array([lengths[rows].mean() for rows in steps])
        assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2
        assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2

    def test_rows_are_reshuffled_across_windows_each_epoch(self) -> None:
        labels = np.zeros(400, dtype=np.int64)
        first, second = (
            set(np.concatenate(plan_of(labels, epoch=epoch, window=25)[:25]).tolist())
            for epoch in (0, 1)
        )

        assert 60 < len(first & second) < 140

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
            ({"window": 0}, "window must be at least 1, but got 0"),
            ({"lengths": np.ones(3)}, r"\(4,\) and \(3,\)"),
        ],
    )
    def test_bad_arguments_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            plan_of(np.array([0, 1, 0, 1]), **changes)


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
