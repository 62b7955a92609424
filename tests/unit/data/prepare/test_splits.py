from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.prepare.keys import KEY_BYTES, content_key, exact_key, key_array
from rnnlane.data.prepare.splits import (
    ALIKE,
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    Texts,
    deal,
    merge_texts,
    quotas_of,
    row_numbers,
    separate,
)


@dataclass(frozen=True)
class Result:
    split: npt.NDArray[np.int8]
    row_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    texts: Texts


def keys_of(keys) -> npt.NDArray[np.uint64]:
    return key_array(pa.chunked_array([pa.array(keys, pa.binary(KEY_BYTES))]))


def split(texts, labels, *, official=None, seed=0, classes=2, test=0.2, val=0.1) -> Result:
    labels = np.array(labels, dtype=np.int64)
    is_test = np.array(official or [False] * len(texts), dtype=np.bool_)
    merged = merge_texts(
        keys_of(content_key(text.encode()) for text in texts),
        keys_of(map(exact_key, texts)),
        labels,
        is_test=is_test,
        seed=seed,
    )
    sides = np.where(is_test, TEST, LEFT_OUT).astype(np.int8)
    sides[merged.rows] = deal(
        merged.text,
        merged.labels,
        quotas_of(
            merged.labels,
            num_classes=classes,
            test_share=None if official else test,
            val_share=val,
        ),
    )
    return Result(sides, row_numbers(sides, merged.order), labels, merged)


def as_set(texts, result: Result) -> set[tuple[str, int, int, int]]:
    rows = zip(texts, result.split, result.row_ids, result.labels, strict=True)
    return {(text, int(a), int(b), int(c)) for text, a, b, c in rows if a != LEFT_OUT}


def distinct(class_counts) -> tuple[list[str], list[int]]:
    labels = [label for label, count in enumerate(class_counts) for _ in range(count)]
    return [f"text {row}" for row in range(len(labels))], labels


def rows_of(result: Result, side: int, num_classes: int) -> list[int]:
    return np.bincount(result.labels[result.split == side], minlength=num_classes).tolist()


# Of ten texts, five of each class, with seed 7.
GOLDEN_SPLIT = [0, 2, 1, 0, 0, 2, 1, 0, 0, 0]
GOLDEN_ROW_IDS = [3, 0, 1, 5, 2, 1, 0, 4, 1, 0]

# Three texts of each class that nothing merges away, and more that may be repeated or disputed.
noisy = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.booleans()), max_size=40)
SOLID = [(f"{label} {n}", label, n == 0) for label in (0, 1) for n in range(3)]


def with_solid(rows) -> tuple[list[str], list[int], list[bool]]:
    named = [(f"noisy {text}", label, is_test) for text, label, is_test in rows]
    texts, labels, official = zip(*(SOLID + named), strict=True)
    return list(texts), list(labels), list(official)


def test_a_split_is_the_same_on_every_machine_and_release() -> None:
    result = split(*distinct([5, 5]), seed=7, val=0.2)
    assert result.split.tolist() == GOLDEN_SPLIT
    assert result.row_ids.tolist() == GOLDEN_ROW_IDS
    assert (result.split.dtype, result.row_ids.dtype) == (np.int8, np.int64)


@settings(deadline=None)
@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=3),
    st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.7, 0.9]),
    st.sampled_from([0.01, 0.1, 1 / 3, 0.5, 0.9]),
)
def test_every_class_has_its_share_of_every_split_to_within_a_row(counts, test, val) -> None:
    result = split(*distinct(counts), classes=len(counts), test=test, val=val)
    held = rows_of(result, TEST, len(counts))
    validated = rows_of(result, VAL, len(counts))
    left = [count - rows for count, rows in zip(counts, held, strict=True)]
    for share, sizes, got, reserve in ((test, counts, held, 2), (val, left, validated, 1)):
        exact = Fraction(str(share))
        quotas = [size * exact for size in sizes]
        bounds = [
            (min(max(1, math.floor(q)), n - reserve), min(math.ceil(q), n - reserve))
            for q, n in zip(quotas, sizes, strict=True)
        ]
        assert all(low <= rows <= high for rows, (low, high) in zip(got, bounds, strict=True))
        lowest, highest = (sum(bound) for bound in zip(*bounds, strict=True))
        assert sum(got) == min(max(round(sum(sizes) * exact), lowest), highest)
    assert min(rows_of(result, TRAIN, len(counts))) >= 1


def test_written_fractions_are_exact() -> None:
    assert rows_of(split(*distinct([10, 10]), test=0.7, val=0.5), TEST, 2) == [7, 7]
    assert rows_of(split(*distinct([30, 30]), test=0.1, val=0.5), TEST, 2) == [3, 3]


@settings(deadline=None)
@given(noisy, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(rows, is_official, shuffler) -> None:
    triples = list(zip(*with_solid(rows), strict=True))
    results = []
    for _ in range(2):
        texts, labels, official = map(list, zip(*triples, strict=True))
        result = split(texts, labels, official=official if is_official else None)
        results.append((as_set(texts, result), result.texts.num_duplicates))
        shuffler.shuffle(triples)
    assert results[0] == results[1]


@settings(deadline=None)
@given(noisy, st.booleans())
def test_no_text_stands_on_two_sides_and_row_ids_are_dense(rows, is_official) -> None:
    texts, labels, official = with_solid(rows)
    result = split(texts, labels, official=official if is_official else None)
    sides: dict[str, set[int]] = {}
    for text, side in zip(texts, result.split.tolist(), strict=True):
        sides.setdefault(text, set()).add(side)
    assert all(len(found - {LEFT_OUT}) == 1 for found in sides.values())
    for side in (TRAIN, VAL, TEST):
        ids = result.row_ids[result.split == side]
        assert sorted(ids) == list(range(len(ids)))
    assert (result.row_ids[result.split == LEFT_OUT] == -1).all()
    merged = np.count_nonzero(result.split == LEFT_OUT)
    assert merged == result.texts.num_duplicates + result.texts.num_in_test


@settings(deadline=None)
@given(noisy)
def test_each_text_has_a_row_for_each_of_its_labels(rows) -> None:
    texts, labels, _ = with_solid(rows)
    result = split(texts, labels)
    used = np.flatnonzero(result.split != LEFT_OUT).tolist()
    pairs = sorted((texts[row], labels[row]) for row in used)
    assert pairs == sorted(set(zip(texts, labels, strict=True)))
    conflicting = set(result.texts.rows[result.texts.conflicting()].tolist())
    assert conflicting == {row for row in used if (texts[row], 1 - labels[row]) in set(pairs)}
    for label in (0, 1):
        assert TRAIN in result.split[result.labels == label]


def test_texts_of_two_labels_follow_the_quotas_of_the_rarer() -> None:
    own = [f"{label} {n}" for label in (0, 1) for n in range(10 + 20 * label)]
    shared = [f"shared {n}" for n in range(20)]
    labels = [0] * 10 + [1] * 30 + [0] * 20 + [1] * 20
    result = split(own + shared + shared, labels, test=0.2, val=0.25)
    assert rows_of(result, TEST, 2) == [6, 10]
    assert rows_of(result, VAL, 2) == [6, 10]
    for n in range(20):
        assert result.split[40 + n] == result.split[60 + n]


def test_a_class_all_of_whose_texts_are_shared_is_in_every_split() -> None:
    texts, labels = distinct([5, 5])
    result = split([*texts[:5], *texts[:5], "x", "y"], [*labels, 1, 1])
    assert [min(rows_of(result, side, 2)) for side in (TRAIN, VAL, TEST)] == [3, 1, 1]


def test_a_class_keeps_a_train_row_whatever_rarer_classes_dealt() -> None:
    pairs = [(0, 0), (0, 2), (1, 0), (2, 0), (3, 1), (3, 2), (4, 1), (5, 1), (6, 2)]
    text, labels = np.array(pairs).T
    quotas = quotas_of(labels, num_classes=3, test_share=0.2, val_share=0.1)
    sides = deal(text, labels, quotas)
    of_class = [sides[labels == label].tolist() for label in range(3)]
    assert of_class[:2] == [[TEST, VAL, TRAIN]] * 2
    assert of_class[2] == [TEST, TEST, TRAIN]


def test_rows_of_one_text_are_told_apart_by_their_letters_not_their_order() -> None:
    texts = ["Same", "same", *distinct([5, 5])[0]]
    labels = np.array([0, 0, *distinct([5, 5])[1]])
    keys = keys_of(content_key(text.lower().encode()) for text in texts)
    exact = keys_of(map(exact_key, texts))
    none = np.zeros(12, dtype=np.bool_)
    chosen = set()
    for order in (np.arange(12), np.arange(12)[::-1]):
        merged = merge_texts(keys[order], exact[order], labels[order], is_test=none, seed=0)
        chosen.add(frozenset(texts[row] for row in order[merged.rows]))
    assert len(chosen) == 1


def test_an_official_test_stays_as_published() -> None:
    texts = ["shared", "twice", "twice", "shared", "again", "again", "again", "a", "b", "c"]
    labels = [0, 0, 1, 1, 1, 1, 1, 0, 1, 0]
    official = [True, True, True] + [False] * 7
    result = split(texts, labels, official=official)
    assert result.split[:4].tolist() == [TEST, TEST, TEST, LEFT_OUT]
    assert sorted(result.row_ids[:3]) == [0, 1, 2]
    assert result.labels[:4].tolist() == [0, 0, 1, 1]
    assert (result.texts.num_duplicates, result.texts.num_in_test) == (2, 1)
    assert rows_of(result, VAL, 2) == [1, 1]


looks = st.lists(st.tuples(st.sampled_from([LEFT_OUT, TRAIN, VAL, TEST]), st.integers(0, 4)))


@given(looks)
def test_what_looks_alike_stands_on_the_last_of_its_sides(rows) -> None:
    sides = np.array([side for side, _ in rows], dtype=np.int8)
    keys = np.array([(look, 1) for _, look in rows], dtype=np.uint64).reshape(-1, 2)
    separated = separate(sides, keys)
    last = {look: max(s for s, other in rows if other == look) for _, look in rows}
    for (side, look), after in zip(rows, separated.tolist(), strict=True):
        assert after == (side if side in (LEFT_OUT, last[look]) else ALIKE)


def test_the_seed_changes_split_and_order() -> None:
    texts, labels = distinct([50, 50])
    first, again, other = (as_set(texts, split(texts, labels, seed=s)) for s in (0, 0, 1))
    assert first == again != other
    sides = [{(text, side) for text, side, *_ in rows} for rows in (first, other)]
    assert sides[0] != sides[1]
    assert (
        split(texts, labels, seed=2**64 + 1).split.tolist()
        != split(texts, labels, seed=1).split.tolist()
    )


def test_another_val_share_leaves_the_test_split_alone() -> None:
    texts, labels = distinct([50, 30])
    held = [split(texts, labels, val=val).split == TEST for val in (0.1, 0.5)]
    assert (held[0] == held[1]).all()


def test_different_keys_with_one_hash_stay_apart(monkeypatch) -> None:
    monkeypatch.setattr("rnnlane.data.prepare.splits._mix", np.zeros_like)
    texts, labels = distinct([6, 6])
    result = split(texts + texts, labels + labels)
    assert result.texts.num_duplicates == 12
    assert sum(rows_of(result, side, 2)[0] for side in (TRAIN, VAL, TEST)) == 6
