from __future__ import annotations

import doctest
import hashlib
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from rnnlane.data.batches import sampling
from rnnlane.data.batches.sampling import (
    StratifiedDistributedBatchSampler,
    StratifiedKFoldBatchSampler,
    plan,
    share,
)
from rnnlane.errors import DataError

Labels = npt.NDArray[np.int64]


@st.composite
def imbalanced_labels(draw: st.DrawFn) -> Labels:
    """1 to 18 classes, from balanced to 1:200, in random order; down to a single row."""
    class_counts = draw(
        st.lists(st.integers(1, 20), min_size=1, max_size=18)
        | st.lists(st.integers(1, 200), min_size=2, max_size=3)
    )
    labels = np.repeat(np.arange(len(class_counts)), class_counts)
    return labels[np.random.default_rng(draw(st.integers(0, 99))).permutation(len(labels))]


def lengths_like(labels: Labels, seed: int = 0) -> Labels:
    """Lengths as reviews have them: a mean near 230, a long tail."""
    return np.random.default_rng(seed).lognormal(5.2, 0.6, len(labels)).astype(np.int64) + 1


def plan_of(labels: Labels, **changes: Any) -> list[npt.NDArray[np.int64]]:
    settings = {"global_batch_size": 8, "seed": 0, "epoch": 0} | changes
    return plan(labels, settings.pop("lengths", lengths_like(labels)), **settings)


def counts_per_step(steps: list[npt.NDArray[np.int64]], labels: Labels) -> Labels:
    return np.array([np.bincount(labels[rows], minlength=labels.max() + 1) for rows in steps])


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


def test_docstring_examples_hold() -> None:
    results = doctest.testmod(sampling)

    assert results.attempted > 0
    assert results.failed == 0


class TestStratifiedDistributedBatchSampler:
    def samplers(
        self, labels: Labels, world_size: int, **changes: Any
    ) -> list[StratifiedDistributedBatchSampler]:
        settings = {"global_batch_size": 8, "seed": 3} | changes
        return [
            StratifiedDistributedBatchSampler(labels, rank=rank, world_size=world_size, **settings)
            for rank in range(world_size)
        ]

    @pytest.mark.parametrize("world_size", [1, 2, 3, 8])
    def test_ranks_see_the_global_batches_of_the_plan(self, world_size: int) -> None:
        labels = np.arange(61) % 3
        lengths = lengths_like(labels)
        samplers = self.samplers(labels, world_size, lengths=lengths)
        for sampler in samplers:
            sampler.set_epoch(2)

        batches = [
            sorted(row for mine in step for row in mine) for step in zip(*samplers, strict=True)
        ]

        expected = plan(labels, lengths, global_batch_size=8, seed=3, epoch=2)
        assert batches == [sorted(rows.tolist()) for rows in expected]
        assert [len(sampler) for sampler in samplers] == [8] * world_size
        assert [samplers[0].global_rows(step) for step in range(8)] == [8] * 7 + [5]

    def test_loaders_of_all_ranks_cover_the_data_in_proportion(self) -> None:
        labels = np.repeat([0, 1], [48, 16])
        data = TensorDataset(torch.arange(64), torch.from_numpy(labels))
        seen: list[int] = []
        for sampler in self.samplers(labels, 2):
            for rows, classes in DataLoader(data, batch_sampler=sampler):
                assert classes.tolist() == [0, 0, 0, 1]
                seen += rows.tolist()

        assert sorted(seen) == list(range(64))

    def test_a_rank_without_a_row_in_the_last_step_yields_an_empty_list(self) -> None:
        first, second = self.samplers(np.zeros(9, dtype=np.int64), 2)

        assert [len(rows) for rows in first] == [4, 1]
        assert [len(rows) for rows in second] == [4, 0]

    def test_gradient_of_the_weighted_loss_does_not_depend_on_the_world(self) -> None:
        labels = np.arange(21) % 2
        features = torch.linspace(-1, 1, 21)

        def gradient_of_last_step(world_size: int) -> float:
            weight = torch.tensor(0.3, requires_grad=True)
            for sampler in self.samplers(labels, world_size):
                *_, rows = sampler
                losses = (weight * features[rows] - torch.tensor(labels[rows])) ** 2
                # DistributedDataParallel divides by world_size.
                loss = losses.sum() * world_size / sampler.global_rows(len(sampler) - 1)
                (loss / world_size).backward()
            assert weight.grad is not None
            return float(weight.grad)

        assert gradient_of_last_step(2) == pytest.approx(gradient_of_last_step(1))
        assert gradient_of_last_step(8) == pytest.approx(gradient_of_last_step(1))

    def test_epochs_and_seeds_change_the_order(self) -> None:
        labels = np.arange(64) % 2
        (sampler,) = self.samplers(labels, 1)
        first = list(sampler)
        assert list(sampler) == first
        sampler.set_epoch(1)
        assert list(sampler) != first
        assert list(self.samplers(labels, 1, seed=4)[0]) != first

    @pytest.mark.parametrize(
        ("labels", "settings", "error"),
        [
            ([], {}, DataError),
            ([0], {"global_batch_size": 0}, ValueError),
            ([0], {"rank": 1}, ValueError),
            ([0], {"seed": -1}, ValueError),
            ([0], {"lengths": [1, 2]}, ValueError),
        ],
    )
    def test_bad_arguments_are_refused_at_once(
        self, labels: list[int], settings: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            StratifiedDistributedBatchSampler(labels, **{"global_batch_size": 4} | settings)


class TestStratifiedKFoldBatchSampler:
    @settings(deadline=None, max_examples=40)
    @given(labels=imbalanced_labels(), epoch=st.integers(0, 3))
    def test_batches_cover_the_rows_and_are_within_one_row(
        self, labels: Labels, epoch: int
    ) -> None:
        smallest_size = -(-len(labels) // np.bincount(labels).max())
        sampler = StratifiedKFoldBatchSampler(labels, batch_size=int(smallest_size))
        sampler.set_epoch(epoch)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batches = list(sampler)

        assert len(batches) == len(sampler)
        assert sorted(row for rows in batches for row in rows) == list(range(len(labels)))
        assert max(map(len, batches)) <= smallest_size
        counts = counts_per_step([np.array(rows) for rows in batches], labels)
        assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()

    def test_epochs_and_seeds_change_the_batches(self) -> None:
        labels = np.arange(60) % 2
        sampler = StratifiedKFoldBatchSampler(labels, batch_size=6)
        first = list(sampler)
        assert list(sampler) == first
        sampler.set_epoch(1)
        other_seed = StratifiedKFoldBatchSampler(labels, batch_size=6, seed=1)
        for batches in (list(sampler), list(other_seed)):
            assert {frozenset(rows) for rows in batches} != {frozenset(rows) for rows in first}

    def test_batches_with_a_rare_class_stand_elsewhere_each_epoch(self) -> None:
        labels = np.repeat([0, 1], [60, 3])
        sampler = StratifiedKFoldBatchSampler(labels, batch_size=6)
        places = set()
        for epoch in range(5):
            sampler.set_epoch(epoch)
            places.add(tuple(labels[rows].sum() for rows in sampler))

        assert len(places) > 1

    def test_all_rows_may_be_one_batch(self) -> None:
        assert list(StratifiedKFoldBatchSampler([0, 1, 1], batch_size=5)) == [[0, 1, 2]]

    def test_more_folds_than_any_class_has_rows_is_refused(self) -> None:
        with pytest.raises(DataError, match="4 folds and at most 2 rows a class") as refusal:
            StratifiedKFoldBatchSampler([0, 0, 1, 1, 2, 2, 3], batch_size=2)

        assert "raise batch_size" in (refusal.value.remedy or "")
