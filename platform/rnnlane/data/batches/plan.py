"""The batch plan: which row of the train split is in which step, and on which rank.

Pure functions of their arguments, the same on every machine and with every numpy release: all
randomness is the raw bit stream of PCG64, which numpy guarantees not to change (NEP 19), and every
sort is stable.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.apportionment import step_class_counts
from rnnlane.errors import DataError

Rows = npt.NDArray[np.int64]

# Part of every checkpoint: raise it with any change of the order, so that no run mixes two plans.
PLAN_VERSION = 2

ROW_STREAM, STEP_STREAM = 0, 1
# Multiples of it, taken modulo 2**64, are spread as evenly as possible, however many there are.
GOLDEN_RATIO = 0x9E3779B97F4A7C15
FRACTION_BITS = 10  # of square roots, which are whole numbers to be the same everywhere


def plan(
    labels: npt.NDArray[np.integer[Any]],
    lengths: npt.NDArray[np.integer[Any]],
    *,
    global_batch_size: int,
    seed: int,
    epoch: int,
    max_buckets: int = 50,
) -> list[Rows]:
    """The row ids of every step of one epoch.

    With N rows and B = ``global_batch_size`` there are ceil(N / B) steps, all of B rows but the
    last. Every row is in exactly one. A step of b rows holds floor or ceil of b * n / N rows of a
    class that has n, and so do the first k rows of the epoch, for any whole number of steps.

    The rows are sorted by length into buckets, and the rows of a bucket are dealt to its steps at
    random: so a step has rows of like length, and every epoch has steps of other rows. Which of the
    epoch's steps are those of a bucket is random too. Within a step rows are ordered by class, then
    by length, as :func:`share` wants them.

    Args:
        labels: [N], the class of each row; any integers.
        lengths: [N], tokens of each row.
        global_batch_size: rows a step, at least 1.
        seed: at least 0; same seed and epoch, same plan.
        epoch: at least 0.
        max_buckets: at least 1, which leaves the order of rows fully random. There are fewer
            buckets where the epoch has few steps.

    Raises:
        DataError: there is no row.
        ValueError: an argument is out of its range, or labels and lengths differ in shape.
    """
    labels, lengths = np.asarray(labels), np.asarray(lengths)
    check_rows(labels, lengths)
    check_at_least(1, global_batch_size=global_batch_size, max_buckets=max_buckets)
    _, classes, class_counts = np.unique(labels, return_inverse=True, return_counts=True)
    counts = step_class_counts(class_counts, global_batch_size=global_batch_size)
    return plan_steps(classes, lengths, counts, seed=seed, epoch=epoch, max_buckets=max_buckets)


def plan_steps(
    labels: npt.NDArray[np.integer[Any]],
    lengths: npt.NDArray[np.integer[Any]],
    counts: Rows,
    *,
    seed: int,
    epoch: int,
    window: int = 0,
    max_buckets: int = 50,
) -> list[Rows]:
    """Deals rows to steps of which it is known how many rows of each class they have.

    Args:
        labels: [N], in [0, C).
        lengths: [N], tokens of each row.
        counts: int64 [K, C], rows of each class in each step; N in all.
        seed, epoch, max_buckets: see :func:`plan`.
        window: which part of an epoch the steps are; each is dealt by random bits of its own.

    Returns:
        The rows of each of the K steps, by their positions.
    """
    num_steps, num_classes = counts.shape
    bits = partial(random_bits, seed=seed, epoch=epoch, part=window)
    # Places are steps in order of length; deal[place] is where in the epoch that step comes.
    deal = np.argsort(bits(num_steps, stream=STEP_STREAM), kind="stable")

    row_keys = bits(len(labels), stream=ROW_STREAM)
    rows = np.lexsort((row_keys, lengths, labels))
    # One entry a row, classes one after the other: counts.T lists each class's places in turn.
    places = np.repeat(np.tile(np.arange(num_steps), num_classes), counts[deal].T.ravel())
    edges = np.full(num_steps + 1, lengths.min(), dtype=np.int64)
    np.maximum.at(edges, places + 1, lengths[rows].astype(np.int64))
    buckets = _buckets(edges, epoch=epoch, max_buckets=max_buckets)
    rows = rows[np.lexsort((row_keys[rows], buckets[places], labels[rows]))]
    rows = rows[np.lexsort((lengths[rows], labels[rows], deal[places]))]
    return np.split(rows, np.cumsum(counts.sum(axis=1))[:-1])


def _buckets(
    edges: npt.NDArray[np.int64], *, epoch: int, max_buckets: int
) -> npt.NDArray[np.int64]:
    """The length bucket of each of an epoch's K places.

    A bucket of s steps mixes their rows: a step then shares about 1 / s of its rows with a step of
    another epoch, and pays with padding, as it has rows from the bucket's shortest to its longest.
    Padding is least, for a given mean of 1 / s, where s falls with the square root of how fast the
    length rises. So a place is as wide as that root, and the cuts between buckets are equally far
    apart: where the length rises by 3, 3, 3, 3, 15, 15 tokens, the places are 2, 2, 2, 2, 4, 4 wide
    (the root of the rise and 1), and with cuts 8 apart the buckets have 4 places and 2.

    Each epoch moves the cuts on, so that rows on both sides of a cut are mixed as well.

    Args:
        edges: int64 [K + 1], tokens of the shortest row, and of the longest row of each place.
        epoch: at least 0.
        max_buckets: at least 1.

    Returns:
        int64 [K], ascending.
    """
    num_places = len(edges) - 1
    num_cuts = min(max_buckets, num_places * 2 // 5) - 1  # 2.5 steps a bucket or more
    if num_cuts < 1:
        return np.zeros(num_places, dtype=np.int64)
    rises = np.diff(np.maximum.accumulate(edges)).tolist()
    roots = [math.isqrt((rise + 1) << FRACTION_BITS * 2) for rise in rises]
    widths: npt.NDArray[np.int64] = np.array(roots, dtype=np.int64)
    ends = np.cumsum(widths)
    distance = -(-int(ends[-1]) // num_cuts)
    moved = int(epoch) * GOLDEN_RATIO % 2**64 * distance // 2**64
    return (ends - widths // 2 + moved) // distance


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
    check_rank(rank, world_size)
    by_class = np.argsort(labels[rows], kind="stable")
    return rows[by_class][rank::world_size]


def random_bits(
    num: int, *, seed: int, epoch: int, stream: int, part: int = 0
) -> npt.NDArray[np.uint64]:
    """uint64 [num], the same on every machine; streams and parts of one epoch are independent."""
    entropy = [seed, epoch, stream, part] if part else [seed, epoch, stream]
    bits = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(num)
    return np.asarray(bits, dtype=np.uint64)


def check_rows(labels: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> None:
    """Refuses labels and lengths that are empty or differ in shape."""
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


def check_rank(rank: int, world_size: int) -> None:
    """Refuses a rank outside [0, world_size)."""
    if not 0 <= rank < world_size:
        raise ValueError(
            f"0 <= rank < world_size must hold, but got (rank={rank}, world_size={world_size})"
        )


def check_at_least(minimum: int, **values: int) -> None:
    """Refuses an argument below its minimum; names it."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, but got {value}")
