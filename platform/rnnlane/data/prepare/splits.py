"""Which row goes to train, val or test: a pure function of the rows' content and a seed.

Neither the order nor the partitioning of the input matters, nor does any text setting: rows are
dealt out by the digests of ``keys.split_key``. Rows of the same text are never in two splits. What
is decided for all rows at once is decided here, of counts; ``merging`` has the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.prepare.groups import UnitCounts, hold_out
from rnnlane.data.prepare.keys import Keys, numbered

TRAIN, VAL, TEST = 0, 1, 2
# Of a row that is not used at all; of one that the text settings leave empty; of one that looks to
# the model like a row of a later split.
LEFT_OUT, EMPTY, ALIKE = -1, -2, -3

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Sides = npt.NDArray[np.int8]


class Quotas(NamedTuple):
    """The rows of each class that test and val should have; of test none if it is not dealt."""

    test: list[int]
    val: list[int]


def quotas_of(sizes: Sequence[int], *, test_share: float | None, val_share: float) -> Quotas:
    """The share of each class, to within a row, and at least one row.

    Args:
        sizes: rows of each class: at least 2, or 3 where the test is dealt too.
        test_share: None if the test split is not taken from these rows.
        val_share: of what remains after test.
    """
    test = [0] * len(sizes) if test_share is None else _quotas(sizes, test_share, reserve=2)
    left = [size - quota for size, quota in zip(sizes, test, strict=True)]
    return Quotas(test, _quotas(left, val_share, reserve=1))


@dataclass(frozen=True)
class Alone:
    """Texts that are dealt one by one, in canonical order: those of some rows, or of all.

    Most have one label, and of these numbers are enough.

    Attributes:
        singles: int64 [C]: texts of one label, by it.
        num_shared: texts of several labels.
        shared: int64 [S]: of each pair of such a text with one of its labels, the number of the
            text, rising from 0.
        labels: int64 [S]: the label.
        before: int64 [S]: how many of ``singles[label]`` come before it.
    """

    singles: Ints
    num_shared: int
    shared: Ints
    labels: Ints
    before: Ints

    @classmethod
    def concat(cls, parts: Iterable[Alone]) -> Alone:
        """That of rows that follow each other."""
        first, *others = parts
        singles, num_shared = first.singles, first.num_shared
        columns = [(first.shared, first.labels, first.before)]
        for part in others:
            columns.append(
                (part.shared + num_shared, part.labels, part.before + singles[part.labels])
            )
            singles, num_shared = singles + part.singles, num_shared + part.num_shared
        shared, labels, before = (np.concatenate(column) for column in zip(*columns, strict=True))
        return cls(singles, num_shared, shared, labels, before)


@dataclass(frozen=True)
class Dealt:
    """Where the texts of an :class:`Alone` go.

    Attributes:
        test: int64 [C]: of the texts of one label, how many go to test: the first.
        val: int64 [C]: how many go to val: the next. The others go to train.
        shared: int8 [num_shared]: the side of each text of several labels.
    """

    test: Ints
    val: Ints
    shared: Sides

    def cut(self, parts: Sequence[Alone]) -> list[Dealt]:
        """What it is for each of the parts that follow each other."""
        cut = []
        test, end = self.test, self.test + self.val
        first = 0
        for part in parts:
            of_test = np.minimum(test, part.singles)
            to_val = np.minimum(end, part.singles) - of_test
            cut.append(Dealt(of_test, to_val, self.shared[first : first + part.num_shared]))
            test, end = test - of_test, end - of_test - to_val
            first += part.num_shared
        return cut


def deal(alone: Alone, quotas: Quotas, *, sizes: Sequence[int], held: Ints) -> Dealt:
    """Deals texts in canonical order: of each class the first to test, the next to val.

    In each split a class has its quota; where texts have several labels, all rows of a text are on
    one side, and the rarest of its classes decides.

    Args:
        alone: the texts.
        quotas: of all rows.
        sizes: rows of each class in all.
        held: int64 [C, 3]: rows of each class that are on each side already.
    """
    num_classes = len(sizes)
    side = np.full(alone.num_shared, LEFT_OUT, dtype=np.int8)
    test, val = np.zeros(num_classes, dtype=np.int64), np.zeros(num_classes, dtype=np.int64)
    order = np.argsort(alone.labels, kind="stable")
    edges = np.searchsorted(alone.labels[order], np.arange(num_classes + 1))
    for label in sorted(range(num_classes), key=lambda label: (sizes[label], label)):
        # What rarer classes dealt counts toward the quotas: iterative stratification (Sechidis,
        # Tsoumakas, Vlahavas, ECML 2011).
        pairs = order[edges[label] : edges[label + 1]]
        before = side[alone.shared[pairs]]
        dealt = held[label] + np.bincount(before[before >= 0], minlength=3)
        pairs = pairs[before == LEFT_OUT]
        place = alone.before[pairs] + np.arange(len(pairs))
        num_free = int(alone.singles[label]) + len(pairs)
        most = num_free if dealt[TRAIN] else max(num_free - 1, 0)
        num_test = min(max(quotas.test[label] - int(dealt[TEST]), 0), most)
        num_val = min(max(quotas.val[label] - int(dealt[VAL]), 0), most - num_test)
        is_test, is_held = place < num_test, place < num_test + num_val
        side[alone.shared[pairs]] = np.where(is_test, TEST, np.where(is_held, VAL, TRAIN))
        num_shared_test, num_shared = np.count_nonzero(is_test), np.count_nonzero(is_held)
        test[label] = num_test - num_shared_test
        val[label] = num_val - (num_shared - num_shared_test)
    return Dealt(test, val, side)


def deal_units(units: UnitCounts, quotas: Quotas, *, sizes: Sequence[int]) -> tuple[Sides, Quotas]:
    """Deals the units of several texts; texts that are alone make up for what is missing.

    Args:
        units: those of several texts.
        quotas: of all rows.
        sizes: rows of each class in all, also those of texts that are alone.

    Returns:
        int8 [U]; and the quotas, of test what it should have in all where texts that are alone are
        too few to make up for both splits.
    """
    test, val = quotas
    num_classes = len(val)
    everything = np.ones(len(units.numbers), dtype=np.bool_)
    in_units = units.of_class(everything, num_classes=num_classes)
    alone = [size - n for size, n in zip(sizes, in_units, strict=True)]
    side = np.full(len(units.numbers), TRAIN, dtype=np.int8)
    on_test = [0] * num_classes
    if any(test):
        held = hold_out(units, quotas=test, sizes=sizes, alone=alone, reserve=2)
        side[held] = TEST
        dealt = units.of_class(held, num_classes=num_classes)
        missing = [max(quota - n, 0) for quota, n in zip(test, dealt, strict=True)]
        filled = [
            min(need, -(-free * need // max(need + later, 1)))
            for need, later, free in zip(missing, val, alone, strict=True)
        ]
        on_test = [a + b for a, b in zip(dealt, filled, strict=True)]
        alone = [free - n for free, n in zip(alone, filled, strict=True)]
    rest = np.flatnonzero(side == TRAIN)
    left = [size - n for size, n in zip(sizes, on_test, strict=True)]
    held = hold_out(units.taken(rest), quotas=val, sizes=left, alone=alone, reserve=1)
    side[rest[held]] = VAL
    return side, Quotas(on_test, val)


def _quotas(sizes: Sequence[int], share: float, *, reserve: int) -> list[int]:
    """Rows that each class gives to a split, by the largest-remainder method.

    Each is its share rounded down or up, and the total is the rounded share of all rows; but a
    class gives at least one row and keeps at least ``reserve``, whatever the rounding.
    """
    # The share as it was written, so that 0.7 of 10 rows is 7 and not a little more.
    exact = Fraction(str(share))
    shares = [size * exact for size in sizes]
    quotas = [min(max(1, math.floor(s)), n - reserve) for s, n in zip(shares, sizes, strict=True)]
    missing = round(sum(sizes) * exact) - sum(quotas)
    by_remainder = sorted(range(len(sizes)), key=lambda label: quotas[label] - shares[label])
    for label in by_remainder:
        if missing > 0 and quotas[label] < min(math.ceil(shares[label]), sizes[label] - reserve):
            quotas[label] += 1
            missing -= 1
    return quotas


def lost_by_look(side: Sides, looks: Keys) -> Bools:
    """Which rows look to the model like a row of a later split: bool [N].

    Taking them out leaves the rows of test the same whatever the text settings, and val loses only
    what cannot be told from them.

    Args:
        side: int8 [N]: TRAIN, VAL or TEST.
        looks: uint64 [N, 2]: equal for rows that the model cannot tell apart.

    >>> looks = np.array([[7, 7], [7, 7], [5, 5], [5, 5], [5, 5]], dtype=np.uint64)
    >>> lost_by_look(np.array([TRAIN, TRAIN, TRAIN, VAL, TEST], dtype=np.int8), looks).tolist()
    [False, False, True, True, False]
    """
    number = numbered(looks)
    last = np.zeros(len(side), dtype=np.int8)
    np.maximum.at(last, number, side)
    lost: Bools = side < last[number]
    return lost
