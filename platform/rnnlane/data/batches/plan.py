"""The batch plan: which row of the train split is in which step, and on which rank.

Pure functions of their arguments, the same on every machine and with every numpy release: all
randomness is the raw bit stream of PCG64, which numpy guarantees not to change (NEP 19), and every
sort is stable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.apportionment import iterate_class_counts
from rnnlane.data.batches.sorting import sorted_positions
from rnnlane.errors import DataError

Rows = npt.NDArray[np.int64]

# Part of every checkpoint: raise it with any change of the order, so that no run mixes two plans.
PLAN_VERSION = 2

ROW_STREAM, STEP_STREAM = 0, 1
# Multiples of it, taken modulo 2**64, are spread as evenly as possible, however many there are.
GOLDEN_RATIO = 0x9E3779B97F4A7C15
NUMBERS_AT_ONCE = 2**20  # of the counts of classes in steps, most of which are 0 with many classes
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
    planner = Planner.of_split(
        labels,
        lengths,
        global_batch_size=global_batch_size,
        seed=seed,
        max_buckets=max_buckets,
    )
    rows = planner.order(epoch)
    return np.split(rows, range(global_batch_size, len(rows), global_batch_size))


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
    planner = Planner(
        labels,
        lengths,
        counts,
        num_classes=counts.shape[1],
        seed=seed,
        window=window,
        max_buckets=max_buckets,
    )
    return np.split(planner.order(epoch), np.cumsum(counts.sum(axis=1))[:-1])


class Planner:
    """The orders of some rows in all epochs: what they have in common is worked out once.

    It keeps 8 bytes a row, and 32 for each step and class of which the step has rows.

    Args:
        classes: [N], in [0, num_classes).
        lengths: [N], tokens of each row.
        counts: rows of each class in each step, int64 [num_classes], one step after the other.
        num_classes: C.
        seed, window, max_buckets: see :func:`plan_steps`.

    Raises:
        ValueError: the counts do not add up to the rows of each class.
    """

    def __init__(
        self,
        classes: npt.NDArray[np.integer[Any]],
        lengths: npt.NDArray[np.integer[Any]],
        counts: Iterable[Rows],
        *,
        num_classes: int,
        seed: int,
        window: int = 0,
        max_buckets: int = 50,
    ):
        self._seed, self._window, self._max_buckets = seed, window, max_buckets
        num_rows = len(classes)
        class_counts = np.bincount(classes, minlength=num_classes)
        distinct, ranks = np.unique(lengths, return_inverse=True)
        self._tokens = distinct.astype(np.int64)
        self._rank_bits = len(distinct).bit_length()
        order = sorted_positions(classes, ranks.astype(np.uint32), key_bits=self._rank_bits)
        # Of the rows by class, then length: their ids, and which of the distinct lengths they have.
        small = np.int32 if num_rows <= np.iinfo(np.int32).max else np.int64
        self._rows: npt.NDArray[np.integer[Any]] = order.astype(small)
        self._ranks = ranks[order].astype(np.uint32)
        is_first = np.diff(self._ranks, prepend=self._ranks[:1]) != 0
        is_first[(np.cumsum(class_counts) - class_counts)[class_counts > 0]] = True
        # Where the rows of one class and one length begin, and where all end.
        self._runs = np.append(np.flatnonzero(is_first), num_rows)
        self._blocks = _Blocks(counts, num_classes=num_classes)
        planned = np.bincount(self._blocks.classes, self._blocks.sizes, minlength=num_classes)
        if (planned != class_counts).any():
            raise ValueError("the counts of the steps must add up to the rows of each class")

    @classmethod
    def of_split(
        cls,
        labels: npt.NDArray[np.integer[Any]],
        lengths: npt.NDArray[np.integer[Any]],
        *,
        global_batch_size: int,
        seed: int,
        max_buckets: int = 50,
    ) -> Planner:
        """Of all rows of a split; arguments and errors are those of :func:`plan`."""
        labels, lengths = np.asarray(labels), np.asarray(lengths)
        check_rows(labels, lengths)
        check_at_least(1, global_batch_size=global_batch_size, max_buckets=max_buckets)
        _, classes, class_counts = np.unique(labels, return_inverse=True, return_counts=True)
        return cls(
            classes,
            lengths,
            iterate_class_counts(class_counts, global_batch_size=global_batch_size),
            num_classes=len(class_counts),
            seed=seed,
            max_buckets=max_buckets,
        )

    def order(self, epoch: int) -> Rows:
        """int64 [N], the rows of an epoch's steps, one step after the other; see :func:`plan`."""
        blocks, num_steps = self._blocks, self._blocks.num_steps
        # Places are steps in order of length; deal[place] is where in the epoch that step comes.
        deal = np.argsort(self._bits(num_steps, epoch, STEP_STREAM), kind="stable")
        place_of = np.empty(num_steps, dtype=np.uint32)
        place_of[deal] = np.arange(num_steps, dtype=np.uint32)
        places = place_of[blocks.steps]
        # Classes one after the other, each with its places in turn, as the rows are.
        by_class = sorted_positions(blocks.classes, places, key_bits=num_steps.bit_length())
        classes, places = blocks.classes[by_class], places[by_class]
        sizes, starts = blocks.sizes[by_class], blocks.starts[by_class]
        ends = np.cumsum(sizes)
        edges = np.full(num_steps + 1, self._tokens[0], dtype=np.int64)
        np.maximum.at(edges, places + 1, self._tokens[self._ranks[ends - 1]])
        buckets = _buckets(edges, epoch=epoch, max_buckets=self._max_buckets)[places]
        new_class, new_bucket = np.diff(classes) != 0, np.diff(buckets) != 0
        segments = np.cumsum(np.append(0, new_class | new_bucket))

        keys = self._bits(len(self._rows), epoch, ROW_STREAM)
        rows = self._rows.copy()
        self._deal_cut_runs_(rows, keys, ends[:-1][new_bucket & ~new_class])
        dealt = sorted_positions(np.repeat(segments, sizes), keys[rows])
        del keys
        rows, ranks = rows[dealt], self._ranks[dealt]
        del dealt
        in_steps = sorted_positions(np.repeat(starts, sizes), ranks, key_bits=self._rank_bits)
        return rows[in_steps].astype(np.int64)

    def _deal_cut_runs_(
        self, rows: npt.NDArray[np.integer[Any]], keys: npt.NDArray[np.uint64], cuts: Rows
    ) -> None:
        """Decides by their keys which of the rows of equal length are before a cut.

        Args:
            rows: of all classes by length; changed.
            keys: by row id.
            cuts: positions in ``rows``, ascending, where buckets end.
        """
        runs = np.searchsorted(self._runs, cuts, side="right") - 1
        runs = np.unique(runs[self._runs[runs] < cuts])
        starts, sizes = self._runs[runs], self._runs[runs + 1] - self._runs[runs]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        positions = np.repeat(starts, sizes) + within
        members = rows[positions]
        groups = np.repeat(np.arange(len(runs)), sizes)
        rows[positions] = members[sorted_positions(groups, keys[members])]

    def _bits(self, num: int, epoch: int, stream: int) -> npt.NDArray[np.uint64]:
        return random_bits(num, seed=self._seed, epoch=epoch, stream=stream, part=self._window)


class _Blocks:
    """The rows of one class in one step: as many blocks as there are of these, at most one a row.

    Attributes:
        num_steps: of the epoch.
        steps, classes: [blocks], ascending by step, then by class.
        sizes: int64 [blocks], rows of each.
        starts: int64 [blocks], rows of the epoch before each.
    """

    def __init__(self, counts: Iterable[npt.NDArray[np.int64]], *, num_classes: int):
        counts, parts, self.num_steps = iter(counts), [], 0
        at_once = max(1, NUMBERS_AT_ONCE // num_classes)
        while some := list(islice(counts, at_once)):
            matrix = np.array(some)
            steps, classes = np.nonzero(matrix)
            parts.append((steps + self.num_steps, classes, matrix[steps, classes]))
            self.num_steps += len(some)
        self.steps, self.classes, self.sizes = map(np.concatenate, zip(*parts, strict=True))
        self.starts = np.cumsum(self.sizes) - self.sizes


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
