"""The batch plan: which row of the train split is in which step, and on which rank.

Pure functions of their arguments, the same on every machine and with every numpy release: all
randomness is the raw bit stream of PCG64, which numpy guarantees not to change (NEP 19), and every
sort is stable.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.apportionment import step_class_counts
from rnnlane.errors import DataError

Rows = npt.NDArray[np.int64]

_ROW_STREAM, _STEP_STREAM = 0, 1


def plan(
    labels: npt.NDArray[np.integer[Any]],
    lengths: npt.NDArray[np.integer[Any]],
    *,
    global_batch_size: int,
    seed: int,
    epoch: int,
    window: int = 50,
) -> list[Rows]:
    """The row ids of every step of one epoch.

    With N rows and B = ``global_batch_size`` there are ceil(N / B) steps, all of B rows but the
    last. Every row is in exactly one. A step of b rows holds floor or ceil of b * n / N rows of a
    class that has n, and so do the first k rows of the epoch, for any whole number of steps.
    Every ``window`` steps, the rows are sorted by length, so that a step has rows of like length;
    which of these steps has the short ones is random. Within a step rows are ordered by class,
    then by length, as :func:`share` wants them.

    Args:
        labels: [N], the class of each row; any integers.
        lengths: [N], tokens of each row.
        global_batch_size: rows a step, at least 1.
        seed: at least 0; same seed and epoch, same plan.
        epoch: at least 0.
        window: steps sorted together, at most; 1 leaves the order of rows fully random.

    Raises:
        DataError: there is no row.
        ValueError: an argument is out of its range, or labels and lengths differ in shape.
    """
    labels, lengths = np.asarray(labels), np.asarray(lengths)
    _check_rows(labels, lengths)
    _check_at_least(1, global_batch_size=global_batch_size, window=window)
    _, classes, class_counts = np.unique(labels, return_inverse=True, return_counts=True)
    counts = step_class_counts(class_counts, global_batch_size=global_batch_size)
    num_steps, num_classes = counts.shape
    num_windows = -(-num_steps // window)
    window_of_step = np.arange(num_steps) * num_windows // num_steps
    step_keys = _random_bits(num_steps, seed=seed, epoch=epoch, stream=_STEP_STREAM)
    deal = np.lexsort((step_keys, window_of_step))

    row_keys = _random_bits(len(labels), seed=seed, epoch=epoch, stream=_ROW_STREAM)
    rows = np.lexsort((row_keys, classes))
    # One entry a row, classes one after the other: counts.T lists each class's steps in turn.
    windows = np.repeat(np.tile(window_of_step, num_classes), counts.T.ravel())
    rows = rows[np.lexsort((lengths[rows], windows, classes[rows]))]
    steps = np.repeat(np.tile(deal, num_classes), counts[deal].T.ravel())
    rows = rows[np.argsort(steps, kind="stable")]
    return np.split(rows, range(global_batch_size, len(rows), global_batch_size))


def share(rows: Rows, labels: npt.NDArray[np.integer[Any]], *, rank: int, world_size: int) -> Rows:
    """The rows of one step that one rank works on.

    The rows are dealt out one by one, class after class, in the order given within a class. So the
    shares are disjoint and together hold all rows; their sizes differ by at most one, and so do
    their counts of each class: a rank has floor or ceil of m / world_size of the m rows that the
    step holds of a class. In a step of b rows of a :func:`plan` over N rows that is floor or ceil
    of (b * n / N) / world_size, for a class that has n rows. A rank's share is empty where the
    step has fewer rows than there are ranks.

    Args:
        rows: int64 [b], the row ids of a step.
        labels: [N], the class of every row of the split, not only of this step's.
        rank: in [0, world_size).
        world_size: at least 1.

    Returns:
        int64 [floor or ceil of b / world_size], ordered by class.

    Raises:
        ValueError: rank or world_size is out of its range.
    """
    _check_rank(rank, world_size)
    by_class = np.argsort(labels[rows], kind="stable")
    return rows[by_class][rank::world_size]


class StratifiedDistributedBatchSampler:
    """The batch plan for a plain torch ``DataLoader``: one rank's share of every global batch.

    Give it as ``batch_sampler`` and call :meth:`set_epoch` before each epoch. All ranks take the
    same number of steps, but in a step a rank may have one row less than another, and in the last
    step none at all where fewer rows are left than there are ranks: it then yields an empty list,
    and ``collate_fn`` must make a batch of padding rows from it.

    Because of that, the mean of the ranks' mean losses is not the mean over the global batch.
    DistributedDataParallel averages gradients over ranks, so weight each rank's loss as
    ``loss_sum * world_size / sampler.global_rows(step)``, where ``loss_sum`` is the sum over the
    rank's rows (``reduction="sum"``); the gradient is then the same for any number of ranks.

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
        _check_rows(self._labels, self._lengths)
        _check_rank(rank, world_size)
        _check_at_least(1, global_batch_size=global_batch_size)
        _check_at_least(0, seed=seed)
        self._global_batch_size = global_batch_size
        self._num_steps = -(-len(self._labels) // global_batch_size)
        self._rank, self._world_size = rank, world_size
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass; the same on all ranks."""
        self._epoch = epoch

    def global_rows(self, step: int) -> int:
        """Rows of a step over all ranks; the last step may have fewer."""
        return min(self._global_batch_size, len(self._labels) - step * self._global_batch_size)

    def __len__(self) -> int:
        return self._num_steps

    def __iter__(self) -> Iterator[list[int]]:
        steps = plan(
            self._labels,
            self._lengths,
            global_batch_size=self._global_batch_size,
            seed=self._seed,
            epoch=self._epoch,
        )
        for rows in steps:
            mine = share(rows, self._labels, rank=self._rank, world_size=self._world_size)
            yield mine.tolist()


class StratifiedKFoldBatchSampler:
    """Batches that are the folds of scikit-learn's ``StratifiedKFold``; for one process.

    There are k = ceil(N / batch_size) batches whose sizes differ by at most one, and each class's
    count in them too. Unlike the batch plan, it does not spread a class rarer than k evenly, knows
    no lengths and no ranks, and its order may change with scikit-learn's version.

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
        _check_rows(self._labels, self._labels)
        _check_at_least(1, batch_size=batch_size)
        _check_at_least(0, seed=seed)
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
        if self._num_batches == 1:  # scikit-learn wants two folds or more
            yield list(range(len(self._labels)))
            return
        from sklearn.model_selection import StratifiedKFold

        seed_bits = np.random.SeedSequence([self._seed, self._epoch]).generate_state(1)
        folds = StratifiedKFold(self._num_batches, shuffle=True, random_state=int(seed_bits[0]))
        with warnings.catch_warnings():
            # A class with fewer rows than folds is no defect here: some batches go without it.
            warnings.filterwarnings("ignore", message="The least populated class")
            batches = [rows for _, rows in folds.split(self._labels, self._labels)]
        keys = _random_bits(
            self._num_batches, seed=self._seed, epoch=self._epoch, stream=_STEP_STREAM
        )
        for index in np.argsort(keys, kind="stable"):
            yield batches[index].tolist()


def _random_bits(num: int, *, seed: int, epoch: int, stream: int) -> npt.NDArray[np.uint64]:
    bits = np.random.PCG64(np.random.SeedSequence([seed, epoch, stream])).random_raw(num)
    return np.asarray(bits, dtype=np.uint64)


def _check_rows(labels: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> None:
    if labels.ndim != 1 or labels.shape != lengths.shape:
        raise ValueError(
            "labels and lengths must be one-dimensional and equally long, but got shapes "
            f"{labels.shape} and {lengths.shape}"
        )
    if len(labels) == 0:
        raise DataError(
            "batches need at least one row, but got none",
            where="labels",
            remedy="check the source and the split shares",
        )


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(
            f"0 <= rank < world_size must hold, but got (rank={rank}, world_size={world_size})"
        )


def _check_at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, but got {value}")
