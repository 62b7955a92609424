"""Rows that must be on one side of the split: which texts belong together, and how they are dealt.

A **unit** is what is dealt as a whole: a text alone, or all texts of a group and of the groups that
share a text with it, and so on. Units are numbered by their first text in canonical order, which a
seeded hash decides; neither the names of the groups nor the order of the rows matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# A split that lacks a class gets a unit that holds it unless it would grow beyond this many times
# the rows that were asked for.
_MOST_GROWTH = 2


def linked_groups(links: Ints, first: Ints) -> Ints:
    """The unit of each group: int64 [G], rising with the unit's first text from 0.

    Args:
        links: int64 [L, 2]: groups that share a text.
        first: int64 [G]: number of the first text of each group; each of its own.

    >>> linked_groups(np.array([[0, 2]]), first=np.array([9, 5, 4])).tolist()
    [0, 1, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Where many texts link two groups, weights of a small type would overflow to 0, which is none.
    edges = (np.ones(len(links)), (links[:, 0], links[:, 1]))
    graph = coo_array(edges, shape=(len(first), len(first)))
    num_units, component = connected_components(graph, directed=False)
    first_of = np.full(num_units, np.iinfo(np.int64).max)
    np.minimum.at(first_of, component, first)
    rank = np.empty(num_units, dtype=np.int64)
    rank[np.argsort(first_of)] = np.arange(num_units)
    units: Ints = rank[component]
    return units


@dataclass(frozen=True)
class UnitCounts:
    """How many rows of each class some units have, in the order in which they are dealt.

    Large ones come first, those of similar size in the order of their numbers, so that small ones
    make up for what large ones leave.

    Attributes:
        numbers: int64 [U]: the units.
        starts: int64 [U + 1]: the classes of unit ``u`` are at ``starts[u]:starts[u + 1]``.
        labels: int64 [P].
        counts: int64 [P]: rows of the class, at least 1.
    """

    numbers: Ints
    starts: Ints
    labels: Ints
    counts: Ints

    @classmethod
    def of(cls, unit: Ints, labels: Ints, counts: Ints, *, num_classes: int) -> UnitCounts:
        """Sums up.

        Args:
            unit: int64 [E].
            labels: int64 [E].
            counts: int64 [E]: rows of this unit and label, one of several such counts.
            num_classes: the labels are in [0, num_classes).
        """
        pairs, pair = np.unique(unit * num_classes + labels, return_inverse=True)
        sums = np.bincount(pair, weights=counts, minlength=len(pairs)).astype(np.int64)
        numbers, first = np.unique(pairs // num_classes, return_index=True)
        starts = np.append(first, len(pairs))
        sizes = np.add.reduceat(sums, first) if len(first) else sums
        return cls(numbers, starts, pairs % num_classes, sums).taken(
            np.argsort(-np.frexp(sizes)[1], kind="stable")
        )

    def taken(self, order: Ints) -> UnitCounts:
        """Some of the units, by their positions, in this order."""
        lengths = np.diff(self.starts)[order]
        starts = np.zeros(len(order) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        at = np.repeat(self.starts[order] - starts[:-1], lengths) + np.arange(starts[-1])
        return UnitCounts(self.numbers[order], starts, self.labels[at], self.counts[at])

    def of_class(self, taken: Bools, *, num_classes: int) -> list[int]:
        """Rows of each class in some units: bool [U]."""
        counts = np.where(np.repeat(taken, np.diff(self.starts)), self.counts, 0)
        sums = np.bincount(self.labels, weights=counts, minlength=num_classes)
        result: list[int] = sums.astype(np.int64).tolist()
        return result


def hold_out(
    units: UnitCounts,
    *,
    quotas: Sequence[int],
    sizes: Sequence[int],
    alone: Sequence[int],
    reserve: int,
) -> Bools:
    """Chooses the units of a split, so that each class has about its quota: bool [U].

    A walk over the units keeps, of each class, the rows that should have been held out so far less
    those that were. A unit is held out if that brings these differences, squared and by the quota
    of their class, nearer to 0: iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML 2011)
    of whole groups, without the bias of small splits to small groups.

    Args:
        units: in the order of the walk.
        quotas: rows that the split should have of each class.
        sizes: rows of each class that there are, with those of units that are dealt elsewhere.
        alone: how many of these are dealt elsewhere, one by one, to fill the quotas.
        reserve: rows of each class that must be left.
    """
    walk = _Walk(units, quotas=quotas, sizes=sizes, reserve=reserve)
    for unit in range(len(walk.held)):
        walk.reach(unit)
        if walk.gain(unit) > 0:
            walk.take(unit)
    _add_absent_classes(walk, units, quotas=quotas, alone=alone)
    return walk.held


def _add_absent_classes(
    walk: _Walk, units: UnitCounts, *, quotas: Sequence[int], alone: Sequence[int]
) -> None:
    """Holds out a unit of each class that has no row yet, unless the split would grow too much."""
    unit_of = np.repeat(np.arange(len(walk.held)), np.diff(units.starts))
    for label in sorted(range(len(quotas)), key=lambda label: (quotas[label], label)):
        if walk.dealt[label] or alone[label] or not quotas[label]:
            continue
        best = max(unit_of[units.labels == label].tolist(), key=walk.gain, default=None)
        if best is None or walk.gain(best) == -math.inf:
            continue
        size = int(units.counts[unit_of == best].sum())
        num_dealt = sum(walk.dealt)
        is_empty = not num_dealt and not any(alone)
        if is_empty or num_dealt + size <= _MOST_GROWTH * sum(quotas):
            walk.take(best)


class _Walk:
    """The state of :func:`hold_out`; plain lists, as a loop reads them faster than arrays.

    Attributes:
        held: bool [U]: the units held out.
        dealt: their rows of each class.
    """

    def __init__(
        self, units: UnitCounts, *, quotas: Sequence[int], sizes: Sequence[int], reserve: int
    ):
        self.held = np.zeros(len(units.numbers), dtype=np.bool_)
        self.dealt = [0] * len(sizes)
        self._starts = units.starts.tolist()
        self._labels, self._counts = units.labels.tolist(), units.counts.tolist()
        self._shares = [q / n if n else 0.0 for q, n in zip(quotas, sizes, strict=True)]
        self._weights = [1 / max(quota, 1) for quota in quotas]
        self._room = [size - reserve for size in sizes]
        self._missing = [0.0] * len(sizes)

    def _rows(self, unit: int) -> Iterator[tuple[int, int]]:
        """The classes of a unit, and how many rows it has of each."""
        span = slice(self._starts[unit], self._starts[unit + 1])
        return zip(self._labels[span], self._counts[span], strict=True)

    def reach(self, unit: int) -> None:
        """Goes on by a unit."""
        for label, count in self._rows(unit):
            self._missing[label] += self._shares[label] * count

    def gain(self, unit: int) -> float:
        """By how much holding out a unit lessens the differences; -inf if too few were left."""
        gained = 0.0
        for label, count in self._rows(unit):
            if count > self._room[label]:
                return -math.inf
            gained += self._weights[label] * count * (2 * self._missing[label] - count)
        return gained

    def take(self, unit: int) -> None:
        """Holds out a unit."""
        self.held[unit] = True
        for label, count in self._rows(unit):
            self._missing[label] -= count
            self._room[label] -= count
            self.dealt[label] += count
