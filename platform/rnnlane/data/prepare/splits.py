"""Which row goes to train, val or test: a pure function of the rows' content and a seed.

Neither the order nor the partitioning of the input matters, nor does any text setting: rows are
dealt out by the digests of ``keys.split_key``. Rows of the same text are never in two splits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Texts:
    """Rows of the same text brought together; those of the official test stay as they are.

    An entry is a text with one of its labels, represented by one row. Entries are in canonical
    order: by a seeded hash of the key, then by key and label.

    Attributes:
        order: int64 [N]: the rows with a label, in canonical order.
        outside: int64 [M]: those of them whose text is not in the official test.
        text_outside: int64 [M]: number of the text of each of these.
        rows: int64 [E]: the row that represents each entry.
        text: int64 [E]: number of the entry's text, rising from 0.
        labels: int64 [E].
        num_duplicates: rows that another one represents.
        num_in_test: rows outside the official test whose text is in it; they are left out.
    """

    order: Ints
    outside: Ints
    text_outside: Ints
    rows: Ints
    text: Ints
    labels: Ints
    num_duplicates: int
    num_in_test: int

    def conflicting(self) -> Bools:
        """Which entries have a text that has other labels as well: bool [E]."""
        conflicting: Bools = (np.bincount(self.text) > 1)[self.text]
        return conflicting


def merge_texts(keys: Keys, exact: Keys, labels: Ints, *, is_test: Bools, seed: int) -> Texts:
    """Chooses a row for each text and label.

    Args:
        keys: uint64 [N, 2]: equal for equal texts; see :func:`keys.split_key`.
        exact: uint64 [N, 2]: tells rows of one key apart; see :func:`keys.exact_key`.
        labels: int64 [N]; rows with a negative one are left out.
        is_test: bool [N]: rows of the official test.
        seed: another seed gives another order.
    """
    usable = np.flatnonzero(labels >= 0)
    order, text = _canonical_order(keys[usable], exact[usable], labels[usable], seed=seed)
    order = usable[order]
    in_test = np.zeros(len(text), dtype=np.bool_)
    in_test[text[is_test[order]]] = True
    outside = np.flatnonzero(~in_test[text])
    text_of, label_of = text[outside], labels[order[outside]]
    is_new = np.diff(text_of, prepend=-1) != 0
    is_first = is_new | (np.diff(label_of, prepend=-1) != 0)
    text_outside = np.cumsum(is_new) - 1
    return Texts(
        order=order,
        outside=order[outside],
        text_outside=text_outside,
        rows=order[outside[is_first]],
        text=text_outside[is_first],
        labels=label_of[is_first],
        num_duplicates=int(np.count_nonzero(~is_first)),
        num_in_test=int(np.count_nonzero(in_test[text] & ~is_test[order])),
    )


def _canonical_order(keys: Keys, exact: Keys, labels: Ints, *, seed: int) -> tuple[Ints, Ints]:
    """The rows by seeded hash, key, label and content; and the number of the text at each position.

    Returns:
        int64 [N] rows, int64 [N] text numbers, rising from 0.
    """
    first, second = keys[:, 0], keys[:, 1]
    mask = (1 << 64) - 1
    seeds = _mix(np.array([seed & mask, (seed >> 64) & mask], dtype=np.uint64))
    hashed = _mix(_mix(first ^ seeds[0]) ^ second ^ seeds[1])
    order = np.argsort(hashed)
    # One key sorts several times faster than all; only rows that share a hash need the others.
    equal = hashed[order[1:]] == hashed[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
    rows = order[tied]
    columns = (exact[:, 1], exact[:, 0], labels, second, first, hashed)
    order[tied] = rows[np.lexsort([column[rows] for column in columns])]
    first, second = first[order], second[order]
    text = np.zeros(len(order), dtype=np.int64)
    np.cumsum((first[1:] != first[:-1]) | (second[1:] != second[:-1]), out=text[1:])
    return order, text


def _mix(values: Keys) -> Keys:
    """splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that changes half of the bits."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Keys = mixed ^ (mixed >> np.uint64(31))
    return result


class Quotas(NamedTuple):
    """The rows of each class that test and val should have; of test none if it is not dealt."""

    test: list[int]
    val: list[int]


def quotas_of(
    labels: Ints, *, num_classes: int, test_share: float | None, val_share: float
) -> Quotas:
    """The share of each class, to within a row, and at least one row.

    Args:
        labels: int64 [E]: each class at least twice, or three times where the test is dealt too.
        num_classes: the labels are in [0, num_classes).
        test_share: None if the test split is not taken from these rows.
        val_share: of what remains after test.
    """
    sizes = np.bincount(labels, minlength=num_classes).tolist()
    test = [0] * num_classes if test_share is None else _quotas(sizes, test_share, reserve=2)
    left = [size - quota for size, quota in zip(sizes, test, strict=True)]
    return Quotas(test, _quotas(left, val_share, reserve=1))


def deal(text: Ints, labels: Ints, quotas: Quotas, *, unit: Ints | None = None) -> Sides:
    """Deals texts in the order given: of each class the first to test, the next to val.

    In each split a class has its quota; where texts have several labels, all rows of a text are on
    one side, and the rarest of its classes decides. Texts of one unit are on one side too: units of
    several texts are dealt first, and texts that are alone make up for what is missing of the
    quotas, as far as they can.

    Args:
        text: int64 [E]: number of the text of each entry, rising from 0.
        labels: int64 [E].
        quotas: of these rows.
        unit: int64 [T]: of each text; see :func:`groups.linked_units`. None: each its own.

    Returns:
        int8 [E].
    """
    test, val = quotas
    num_classes = len(val)
    sizes = np.bincount(labels, minlength=num_classes).tolist()
    side = np.full(int(text[-1]) + 1 if len(text) else 0, LEFT_OUT, dtype=np.int8)
    if unit is not None:
        unit = unit[: len(side)]
        side, test = _deal_units(unit, text, labels, quotas)
    by_class = np.split(text[np.argsort(labels, kind="stable")], np.cumsum(sizes)[:-1])
    for label in sorted(range(num_classes), key=lambda label: (sizes[label], label)):
        # What rarer classes dealt counts toward the quotas: iterative stratification (Sechidis,
        # Tsoumakas, Vlahavas, ECML 2011).
        dealt = np.bincount(side[by_class[label]] - LEFT_OUT, minlength=4)
        free = by_class[label][side[by_class[label]] == LEFT_OUT]
        most = len(free) if dealt[TRAIN + 1] else max(len(free) - 1, 0)
        num_test = min(max(test[label] - int(dealt[TEST + 1]), 0), most)
        num_val = min(max(val[label] - int(dealt[VAL + 1]), 0), most - num_test)
        side[free] = TRAIN
        side[free[:num_test]] = TEST
        side[free[num_test : num_test + num_val]] = VAL
    return side[text]


def _deal_units(unit: Ints, text: Ints, labels: Ints, quotas: Quotas) -> tuple[Sides, list[int]]:
    """Deals the units of several texts.

    Returns:
        int8 [T], with ``LEFT_OUT`` for texts that are alone; and the rows of each class that test
        should have in all, where texts that are alone are too few to make up for both splits.
    """
    test, val = quotas
    num_classes = len(val)
    num_texts = np.bincount(unit[text[np.diff(text, prepend=-1) != 0]], minlength=len(unit))
    is_alone = (num_texts == 1)[unit[text]]
    units = UnitCounts.of(unit[text[~is_alone]], labels[~is_alone], num_classes=num_classes)
    sizes = np.bincount(labels, minlength=num_classes).tolist()
    alone = np.bincount(labels[is_alone], minlength=num_classes).tolist()
    side_of = np.full(len(num_texts), LEFT_OUT, dtype=np.int8)
    side_of[units.numbers] = TRAIN
    on_test = [0] * num_classes
    if any(test):
        held = hold_out(units, quotas=test, sizes=sizes, alone=alone, reserve=2)
        side_of[units.numbers[held]] = TEST
        dealt = units.of_class(held, num_classes=num_classes)
        missing = [max(quota - n, 0) for quota, n in zip(test, dealt, strict=True)]
        filled = [
            min(need, -(-free * need // max(need + later, 1)))
            for need, later, free in zip(missing, val, alone, strict=True)
        ]
        on_test = [a + b for a, b in zip(dealt, filled, strict=True)]
        alone = [free - n for free, n in zip(alone, filled, strict=True)]
        units = units.without(held)
    left = [size - n for size, n in zip(sizes, on_test, strict=True)]
    held = hold_out(units, quotas=val, sizes=left, alone=alone, reserve=1)
    side_of[units.numbers[held]] = VAL
    return side_of[unit], on_test


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


def separate(split: Sides, looks: Keys) -> Sides:
    """Takes out of train what looks like a row of val or test, and out of val what looks like test.

    So the rows of test are the same whatever the text settings, and val loses only what cannot be
    told from them.

    Args:
        split: int8 [N].
        looks: uint64 [N, 2]: equal for rows that the model cannot tell apart.

    Returns:
        int8 [N], with ``ALIKE`` for the rows taken out.

    >>> looks = np.array([[7, 7], [7, 7], [5, 5], [5, 5], [5, 5]], dtype=np.uint64)
    >>> separate(np.array([TRAIN, TRAIN, TRAIN, VAL, TEST], dtype=np.int8), looks).tolist()
    [0, 0, -3, -3, 2]
    """
    used = np.flatnonzero(split >= 0)
    number = numbered(looks[used])
    last = np.zeros(len(used), dtype=np.int8)
    np.maximum.at(last, number, split[used])
    separated = split.copy()
    separated[used[split[used] < last[number]]] = ALIKE
    return separated


def row_numbers(split: Sides, order: Ints) -> Ints:
    """The position of each row in its split, in canonical order: int64 [N]; -1 where it has none.

    Args:
        split: int8 [N].
        order: int64 [M]: all rows that have a split, in canonical order, and maybe others.
    """
    row_ids = np.full(len(split), -1, dtype=np.int64)
    for side in (TRAIN, VAL, TEST):
        members = order[split[order] == side]
        row_ids[members] = np.arange(len(members))
    return row_ids
