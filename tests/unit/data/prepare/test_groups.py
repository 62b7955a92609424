from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnnlane.data.prepare.groups import linked_units
from rnnlane.data.prepare.splits import TEST, TRAIN, VAL, deal, quotas_of

SIDES = (TRAIN, VAL, TEST)


def reference_units(text: list[int], group: list[int], num_texts: int) -> list[int]:
    """By merging sets until none overlap."""
    sets = [{t} for t in range(num_texts)]
    for name in set(group) - {-1}:
        members = {t for t, g in zip(text, group, strict=True) if g == name}
        together = set().union(members, *(s for s in sets if s & members))
        sets = [s for s in sets if not s & members] + [together]
    ordered = sorted(sets, key=min)
    return [next(n for n, s in enumerate(ordered) if t in s) for t in range(num_texts)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(-1, 8)), max_size=25))
def test_units_are_what_groups_and_equal_texts_link(rows) -> None:
    rows = sorted([*rows, *((text, -1) for text in range(12))], key=lambda row: row[0])
    text, group = (list(column) for column in zip(*rows, strict=True))
    unit = linked_units(np.array(text), np.array(group), num_texts=12)
    assert unit.tolist() == reference_units(text, group, 12)


def test_groups_that_hundreds_of_texts_link_are_one() -> None:
    text, group = np.arange(512).repeat(2), np.tile([0, 1], 512)
    assert set(linked_units(text, group, num_texts=512)) == {0}


def dealt(counts: np.ndarray, *, alone=(0, 0), seed=0, test=0.2, val=0.1):
    """Deals groups with ``counts[group, class]`` rows, and rows that are alone, in random order.

    Returns:
        Unit, label and side of each row, and the quotas.
    """
    num_classes = counts.shape[1]
    group, label = (
        np.repeat(axis, counts.ravel()) for axis in np.indices(counts.shape).reshape(2, -1)
    )
    group = np.concatenate([group, np.arange(sum(alone)) + len(counts)])
    label = np.concatenate([label, np.repeat(np.arange(len(alone)), alone)])
    order = np.random.default_rng(seed).permutation(len(group))
    labels, text = label[order], np.arange(len(group))
    unit = linked_units(text, group[order], num_texts=len(text))
    quotas = quotas_of(labels, num_classes=num_classes, test_share=test, val_share=val)
    return unit, labels, deal(text, labels, quotas, unit=unit), quotas


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
