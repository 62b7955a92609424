from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config.experiment import DataConfig
from rnnlane.data.prepare.splits import (
    MERGED,
    TEST,
    TRAIN,
    VAL,
    SplitAssignment,
    assign_splits,
    content_key,
    key_array,
)
from rnnlane.errors import DataError

NAMES = ("bad", "fair", "good")


def split(texts, labels, *, official=None, seed=0, names=NAMES[:2], **shares) -> SplitAssignment:
    source = {"kind": "generated"}
    if official is not None:
        source, shares["test"] = {"kind": "imdb"}, "official"
    return assign_splits(
        key_array(content_key(text) for text in texts),
        np.array(labels, dtype=np.int64),
        official_test=None if official is None else np.array(official, dtype=np.bool_),
        config=DataConfig.model_validate({"source": source, **shares}),
        seed=seed,
        class_names=names,
    )


def as_set(texts, result: SplitAssignment) -> set[tuple[str, int, int, int]]:
    rows = zip(texts, result.split, result.row_ids, result.labels, strict=True)
    return {(text, int(a), int(b), int(c)) for text, a, b, c in rows if a != MERGED}


def distinct(class_counts) -> tuple[list[str], list[int]]:
    labels = [label for label, count in enumerate(class_counts) for _ in range(count)]
    return [f"text {row}" for row in range(len(labels))], labels


def rows_of(result: SplitAssignment, side: int, num_classes: int) -> list[int]:
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


def test_keys_are_equal_for_equal_texts_only_and_sort_alike_everywhere() -> None:
    assert content_key("a film") == content_key("a film") != content_key("a film ")
    keys = key_array([content_key("a"), bytes(range(16))])
    assert keys.shape == (2, 2)
    assert keys[1].tolist() == [0x0706050403020100, 0x0F0E0D0C0B0A0908]
    assert key_array([]).shape == (0, 2)


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
    result = split(*distinct(counts), names=NAMES[: len(counts)], test=test, val=val)
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
        results.append((as_set(texts, result), result.merged))
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
    assert all(len(found - {MERGED}) == 1 for found in sides.values())
    for side in (TRAIN, VAL, TEST):
        ids = result.row_ids[result.split == side]
        assert sorted(ids) == list(range(len(ids)))
    assert (result.row_ids[result.split == MERGED] == -1).all()
    merged = np.count_nonzero(result.split == MERGED)
    assert merged == result.merged["duplicates"] + result.merged["train_also_in_test"]


@settings(deadline=None)
@given(noisy)
def test_conflicting_labels_resolve_to_the_most_common_then_smallest(rows) -> None:
    texts, labels, _ = with_solid(rows)
    result = split(texts, labels)
    votes: dict[str, Counter[int]] = {}
    for text, label in zip(texts, labels, strict=True):
        votes.setdefault(text, Counter())[label] += 1
    expected = {text: min(count, key=lambda c: (-count[c], c)) for text, count in votes.items()}
    assert result.labels.tolist() == [expected[text] for text in texts]
    assert result.merged == {
        "duplicates": len(texts) - len(votes),
        "label_conflicts": sum(len(count) > 1 for count in votes.values()),
        "train_also_in_test": 0,
    }


def test_an_official_test_stays_as_published() -> None:
    texts = ["shared", "twice", "twice", "shared", "again", "again", "again", "a", "b", "c"]
    labels = [0, 0, 1, 1, 1, 0, 1, 0, 1, 0]
    official = [True, True, True] + [False] * 7
    result = split(texts, labels, official=official)
    assert result.split[:4].tolist() == [TEST, TEST, TEST, MERGED]
    assert sorted(result.row_ids[:3]) == [0, 1, 2]
    assert result.labels[:4].tolist() == [0, 0, 1, 1]
    assert result.labels[4:7].tolist() == [1, 1, 1]
    assert result.merged == {"duplicates": 2, "label_conflicts": 1, "train_also_in_test": 1}
    assert rows_of(result, VAL, 2) == [1, 1]


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


@pytest.mark.parametrize(
    ("class_counts", "official", "message"),
    [
        ([9], None, "at least two classes, but all 9 are 'bad'"),
        ([], None, "at least two classes, but there are none"),
        ([9, 2], None, "train, val and test, so at least 3 rows .*class 'fair' has 2"),
        ([9, 0, 9], None, "class 'fair' has 0"),
        ([3, 2], [0, 3], "train and val, so at least 2 rows .*class 'fair' has 1"),
        ([3, 3], [0], "official test must hold every class, but class 'fair' has no row"),
    ],
)
def test_rows_that_cannot_be_split_are_refused(class_counts, official, message) -> None:
    texts, labels = distinct(class_counts)
    is_test = None if official is None else [row in official for row in range(len(texts))]
    with pytest.raises(DataError, match=message) as caught:
        split(texts, labels, official=is_test, names=NAMES[: max(2, len(class_counts))])
    assert caught.value.where
    assert caught.value.remedy


def test_a_class_that_merging_empties_is_refused() -> None:
    texts, labels = ["a", "b", "c", "same", "same", "same"], [0, 0, 0, 1, 1, 1]
    with pytest.raises(DataError, match="different texts, but class 'fair' has 1"):
        split(texts, labels)


def test_different_keys_with_one_hash_stay_apart(monkeypatch) -> None:
    monkeypatch.setattr("rnnlane.data.prepare.splits._mix", np.zeros_like)
    texts, labels = distinct([6, 6])
    result = split(texts + texts, labels + labels)
    assert result.merged["duplicates"] == 12
    assert sum(rows_of(result, side, 2)[0] for side in (TRAIN, VAL, TEST)) == 6
