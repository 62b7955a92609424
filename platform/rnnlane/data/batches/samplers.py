"""Batch samplers for a plain torch ``DataLoader``; usable without the rest of rnnlane."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.plan import (
    STEP_STREAM,
    Planner,
    check_at_least,
    check_rank,
    check_rows,
    random_bits,
    share,
)
from rnnlane.errors import DataError


class StratifiedDistributedBatchSampler:
    """The batch plan for a plain torch ``DataLoader``: one rank's share of every global batch.

    Give it as ``batch_sampler`` and call :meth:`set_epoch` before each epoch. All ranks take the
    same number of steps, but in a step a rank may have one row less than another, and in the last
    step none at all where fewer rows are left than there are ranks: it then yields an empty list,
    and ``collate_fn`` must make a batch of padding rows from it.

    Because of that, the mean of the ranks' mean losses is not the mean over the global batch.
    DistributedDataParallel averages gradients over ranks, so weight each rank's loss as
    ``loss_sum * world_size / sampler.global_rows(step)``, where ``loss_sum`` is the sum over the
    rank's rows (``reduction="sum"``); the gradient is then the same for any number of ranks, apart
    from the order of its sums.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> labels = [0] * 9 + [1] * 3
        >>> sampler = StratifiedDistributedBatchSampler(
        ...     labels, global_batch_size=4, rank=0, world_size=2
        ... )
        >>> sampler.set_epoch(1)
        >>> rows = TensorDataset(torch.arange(12), torch.tensor(labels))
        >>> [len(classes) for _, classes in DataLoader(rows, batch_sampler=sampler)]
        [2, 2, 2]
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        global_batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ):
        """Takes the class of each row and, to batch rows of like length, their lengths.

        Raises:
            DataError: there is no row.
            ValueError: an argument is out of its range, or labels and lengths differ in shape.
        """
        self._labels = np.asarray(labels)
        self._lengths = np.zeros_like(self._labels) if lengths is None else np.asarray(lengths)
        check_rows(self._labels, self._lengths)
        check_rank(rank, world_size)
        check_at_least(1, global_batch_size=global_batch_size)
        check_at_least(0, seed=seed)
        self._global_batch_size = global_batch_size
        self._num_steps = -(-len(self._labels) // global_batch_size)
        self._rank, self._world_size = rank, world_size
        self._seed, self._epoch = seed, 0
        self._planner: Planner | None = None

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass; the same on all ranks."""
        self._epoch = epoch

    def global_rows(self, step: int) -> int:
        """Rows of a step over all ranks; the last step may have fewer."""
        return min(self._global_batch_size, len(self._labels) - step * self._global_batch_size)

    def __len__(self) -> int:
        return self._num_steps

    def __iter__(self) -> Iterator[list[int]]:
        if self._planner is None:
            self._planner = Planner.of_split(
                self._labels,
                self._lengths,
                global_batch_size=self._global_batch_size,
                seed=self._seed,
            )
        order, size = self._planner.order(self._epoch), self._global_batch_size
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            own = share(rows, self._labels, rank=self._rank, world_size=self._world_size)
            yield own.tolist()


class StratifiedKFoldBatchSampler:
    """Batches that are the folds of scikit-learn's ``StratifiedKFold``; for one process.

    There are k = ceil(N / batch_size) batches whose sizes differ by at most one, and each class's
    count in them too. Unlike the batch plan, it does not spread a class rarer than k evenly or
    support lengths and ranks, and its order may change with scikit-learn's version.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> labels = [0] * 8 + [1] * 4
        >>> sampler = StratifiedKFoldBatchSampler(labels, batch_size=3)
        >>> [sorted(batch.tolist()) for batch in DataLoader(labels, batch_sampler=sampler)]
        [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    """

    def __init__(self, labels: npt.ArrayLike, *, batch_size: int, seed: int = 0):
        """Takes the class of each row.

        Raises:
            DataError: there is no row, or no class has a row for each batch.
            ValueError: batch_size or seed is out of its range.
        """
        self._labels = np.asarray(labels)
        check_rows(self._labels, self._labels)
        check_at_least(1, batch_size=batch_size)
        check_at_least(0, seed=seed)
        self._num_batches = -(-len(self._labels) // batch_size)
        self._seed, self._epoch = seed, 0
        largest = int(np.unique(self._labels, return_counts=True)[1].max())
        if largest < self._num_batches:
            raise DataError(
                "StratifiedKFold needs a class with a row for each fold, but got "
                f"{self._num_batches} folds and at most {largest} rows a class",
                where="labels",
                remedy="raise batch_size, or use StratifiedDistributedBatchSampler",
            )

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[list[int]]:
        if self._num_batches == 1:  # scikit-learn needs at least two folds
            yield list(range(len(self._labels)))
            return
        from sklearn.model_selection import StratifiedKFold

        seed_bits = np.random.SeedSequence([self._seed, self._epoch]).generate_state(1)
        folds = StratifiedKFold(self._num_batches, shuffle=True, random_state=int(seed_bits[0]))
        with warnings.catch_warnings():
            # A class with fewer rows than folds is fine here: some batches have none of it.
            warnings.filterwarnings("ignore", message="The least populated class")
            batches = [rows for _, rows in folds.split(self._labels, self._labels)]
        keys = random_bits(
            self._num_batches, seed=self._seed, epoch=self._epoch, stream=STEP_STREAM
        )
        for index in np.argsort(keys, kind="stable"):
            yield batches[index].tolist()
