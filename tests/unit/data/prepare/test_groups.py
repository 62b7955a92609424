from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnlane.data.prepare.grouping import GroupCounts, Grouping
from rnnlane.data.prepare.groups import UnitCounts, linked_groups
from rnnlane.data.prepare.splits import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    Alone,
    deal,
    deal_units,
    quotas_of,
)

SIDES = (TRAIN, VAL, TEST)


def reference_units(links: list[tuple[int, int]], num_groups: int) -> list[int]:
    """By merging sets until none overlap."""
    sets = [{group} for group in range(num_groups)]
    for one, other in links:
        together = set().union(*(s for s in sets if {one, other} & s))
        sets = [s for s in sets if not {one, other} & s] + [together]
    ordered = sorted(sets, key=min)
    return [next(n for n, s in enumerate(ordered) if group in s) for group in range(num_groups)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=25))
def test_units_are_what_shared_texts_link(links) -> None:
    unit = linked_groups(np.array(links, dtype=np.int64).reshape(-1, 2), first=np.arange(12))
    assert unit.tolist() == reference_units(links, 12)


def test_groups_that_hundreds_of_texts_link_are_one() -> None:
    assert linked_groups(np.array([[0, 1]] * 512), first=np.array([7, 3])).tolist() == [0, 0]


def test_a_text_counts_in_its_first_group_wherever_the_partitions_are_cut() -> None:
    """Groups a and b share text 1, c has text 2 alone, and text 3 has no group."""
    text, group = np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 2, -1])
    whole = GroupCounts.of(
        names=pa.array(["a", "b", "c"]),
        text=text,
        group=group,
        entry_text=np.array([0, 1, 1, 2, 3]),
        entry_labels=np.array([0, 0, 1, 1, 0]),
        in_test=np.array([2]),
    )
    first = GroupCounts.of(
        names=pa.array(["b", "a"]),
        text=text[:3],
        group=1 - group[:3],
        entry_text=np.array([0, 1, 1]),
        entry_labels=np.array([0, 0, 1]),
        in_test=np.zeros(0, dtype=np.int64),
    )
    rest = GroupCounts.of(
        names=pa.array(["c"]),
        text=text[3:] - 2,
        group=np.array([0, -1]),
        entry_text=np.array([0, 1]),
        entry_labels=np.array([1, 0]),
        in_test=np.array([0]),
    )
    for parts in ([whole], [first, rest]):
        grouping = Grouping.of(parts, num_classes=2)
        assert (grouping.num_groups, grouping.num_joined, grouping.num_missing) == (3, 1, 1)
        assert (grouping.largest, grouping.largest_names) == (3, ("a", "b"))
        assert grouping.num_in_test == 1
        assert grouping.units.numbers.tolist() == [0]
        assert grouping.units.counts.tolist() == [2, 1]
        names = [name for part in parts for name in part.names.to_pylist()]
        sides = np.concatenate(grouping.sides(np.array([VAL], dtype=np.int8))).tolist()
        assert dict(zip(names, sides, strict=True)) == {"a": VAL, "b": VAL, "c": LEFT_OUT}


def dealt(counts: np.ndarray, *, alone=(0, 0), seed=0, test=0.2, val=0.1):
    """Deals groups with ``counts[group, class]`` rows, in random order, and rows that are alone.

    Returns:
        Unit, label and side of each row, and the quotas.
    """
    num_groups, num_classes = counts.shape
    group, label = (
        np.repeat(axis, counts.ravel()) for axis in np.indices(counts.shape).reshape(2, -1)
    )
    number = np.random.default_rng(seed).permutation(num_groups)
    group = np.concatenate([number[group], np.arange(sum(alone)) + num_groups])
    labels = np.concatenate([label, np.repeat(np.arange(len(alone)), alone)])
    sizes = np.bincount(labels, minlength=num_classes).tolist()
    quotas = quotas_of(sizes, test_share=test, val_share=val)
    is_alone = (np.bincount(group) == 1)[group]
    units = UnitCounts.of(
        group[~is_alone],
        labels[~is_alone],
        np.ones(np.count_nonzero(~is_alone), dtype=np.int64),
        num_classes=num_classes,
    )
    of_unit, asked = deal_units(units, quotas, sizes=sizes)
    side_of = np.full(group.max() + 1, LEFT_OUT, dtype=np.int8)
    side_of[units.numbers] = of_unit
    side = side_of[group]
    held = [np.bincount(labels[side == which], minlength=num_classes) for which in SIDES]
    none = np.zeros(0, dtype=np.int64)
    singles = np.bincount(labels[is_alone], minlength=num_classes)
    of_class = deal(Alone(singles, 0, none, none, none), asked, sizes=sizes, held=np.array(held).T)
    for one in range(num_classes):
        rows = np.flatnonzero(is_alone & (labels == one))
        end = of_class.test[one] + of_class.val[one]
        side[rows] = TRAIN
        side[rows[: of_class.test[one]]] = TEST
        side[rows[of_class.test[one] : end]] = VAL
    return group, labels, side, quotas


def rows_of(labels, side, which, num_classes) -> list[int]:
    return np.bincount(labels[side == which], minlength=num_classes).tolist()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.integers(0, 5),
    st.sampled_from([None, 0.1, 0.2, 0.5]),
)
def test_no_unit_is_on_two_sides_and_train_has_every_class(counts, alone, seed, test) -> None:
    assume(min(np.sum([*counts, alone], axis=0)) >= 3)
    unit, labels, side, _ = dealt(np.array(counts), alone=alone, seed=seed, test=test)
    assert len(side) == len(labels)
    assert set(side.tolist()) <= set(SIDES if test is not None else SIDES[:2])
    first = np.full(unit.max() + 1, -9)
    first[unit] = side
    assert (first[unit] == side).all()
    assert min(rows_of(labels, side, TRAIN, 2)) >= 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=30, max_size=80),
    st.integers(0, 9),
)
def test_each_class_is_as_near_to_its_share_as_a_group_is_large(counts, seed) -> None:
    counts = np.array([*counts, *np.eye(2, dtype=int).repeat(20, axis=0) * 2])
    _, labels, side, quotas = dealt(counts, seed=seed)
    for which, quota in ((TEST, quotas.test), (VAL, quotas.val)):
        got = rows_of(labels, side, which, 2)
        assert all(abs(a - b) <= counts.max() for a, b in zip(got, quota, strict=True))


def test_of_many_groups_of_mixed_classes_shares_are_nearer_than_by_chance() -> None:
    random = np.random.default_rng(3)
    tilt = random.random(300)
    sizes = random.integers(1, 31, 300)
    counts = np.stack([random.binomial(sizes, tilt), sizes], axis=1)
    counts[:, 1] -= counts[:, 0]
    for seed in range(5):
        unit, labels, side, quotas = dealt(counts, seed=seed)
        for which, quota in ((TEST, quotas.test), (VAL, quotas.val)):
            got = rows_of(labels, side, which, 2)
            # By chance some 70 and 50 rows off.
            assert all(abs(a - b) <= 6 for a, b in zip(got, quota, strict=True))
        sizes_of = np.bincount(unit)
        mean = [sizes_of[np.unique(unit[side == which])].mean() for which in SIDES]
        assert max(mean) < 1.2 * min(mean)


def test_texts_alone_make_up_for_what_groups_leave() -> None:
    counts = np.array([[7, 0], [0, 9], [5, 5], [11, 2]] * 4)
    _, labels, side, quotas = dealt(counts, alone=(30, 30))
    assert rows_of(labels, side, TEST, 2) == quotas.test
    assert rows_of(labels, side, VAL, 2) == quotas.val


def test_too_few_texts_alone_are_shared_by_test_and_val() -> None:
    _, labels, side, _ = dealt(np.array([[70, 0], [0, 70]]), alone=(9, 9))
    assert rows_of(labels, side, TEST, 2) == [7, 7]
    assert rows_of(labels, side, VAL, 2) == [2, 2]


@pytest.mark.parametrize("num_groups", [3, 4, 6])
def test_a_few_large_groups_still_fill_every_split(num_groups: int) -> None:
    _, labels, side, _ = dealt(np.full((num_groups, 2), 50))
    assert [min(rows_of(labels, side, which, 2)) for which in (VAL, TEST)] == [50, 50]


def test_a_class_in_three_groups_is_in_every_split_unless_one_would_grow_too_much() -> None:
    few = np.array([[10, 0]] * 3)
    _, labels, side, _ = dealt(few, alone=(0, 300))
    assert [rows_of(labels, side, which, 2)[0] for which in SIDES] == [10, 10, 10]
    _, labels, side, _ = dealt(few * 20, alone=(0, 300))
    assert rows_of(labels, side, VAL, 2)[0] == 0


def test_the_seed_decides_which_groups_are_held_out() -> None:
    counts = np.random.default_rng(0).integers(1, 9, (60, 2))
    held = [set(np.flatnonzero(dealt(counts, seed=seed)[2] == VAL)) for seed in (0, 1)]
    assert held[0] != held[1]
