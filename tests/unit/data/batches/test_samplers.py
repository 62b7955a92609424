from __future__ import annotations

import doctest
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from rnnlane.data.batches import samplers
from rnnlane.data.batches.plan import plan
from rnnlane.data.batches.samplers import (
    StratifiedDistributedBatchSampler,
    StratifiedKFoldBatchSampler,
)
from rnnlane.errors import DataError
from support.batch_plans import Labels, counts_per_step, imbalanced_labels, lengths_like


def test_docstring_examples_hold() -> None:
    results = doctest.testmod(samplers)

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
