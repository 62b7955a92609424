from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.blocks import TOKENS_SCHEMA
from rnnlane.data.prepare.keys import content_key, exact_key
from rnnlane.data.prepare.splits import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    Alone,
    deal,
    lost_by_look,
    quotas_of,
)
from support.selected import Selected, selected


def split(texts, labels, *, official=None, seed=0, test=0.2, val=0.1, num_partitions=2) -> Selected:
    """Splits texts whose classes are numbers; equal but for case are equal."""
    official = official or [False] * len(texts)
    rows = [
        {
            "key": content_key(text.lower().encode()),
            "exact": exact_key(text),
            "look": content_key(text.lower().encode()),
            "label": str(label),
            "official_test": is_test,
        }
        for text, label, is_test in zip(texts, labels, official, strict=True)
    ]
    source = {"kind": "csv", "path": "x"}
    if any(official):
        source["test_path"], test = "y", "official"
    config = DataConfig.model_validate({"source": source, "test": test, "val": val})
    table = pa.Table.from_pylist(rows, TOKENS_SCHEMA)
    return selected(table, config=config, seed=seed, num_partitions=num_partitions)


def as_set(texts, result: Selected) -> set[tuple[str, int, int, int]]:
    rows = zip(texts, result.split, result.assignment.row_ids, result.labels, strict=True)
    return {(text, int(a), int(b), int(c)) for text, a, b, c in rows if a != LEFT_OUT}


def distinct(class_counts) -> tuple[list[str], list[int]]:
    labels = [label for label, count in enumerate(class_counts) for _ in range(count)]
    return [f"text {row}" for row in range(len(labels))], labels


def rows_of(result: Selected, side: int, num_classes: int) -> list[int]:
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
    assert result.assignment.row_ids.tolist() == GOLDEN_ROW_IDS
    assert (result.split.dtype, result.assignment.row_ids.dtype) == (np.int8, np.int64)


@settings(deadline=None)
@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=3),
    st.sampled_from([0.01, 0.1, 0.2, 0.25, 0.7, 0.9]),
    st.sampled_from([0.01, 0.1, 1 / 3, 0.5, 0.9]),
)
def test_every_class_has_its_share_of_every_split_to_within_a_row(counts, test, val) -> None:
    result = split(*distinct(counts), test=test, val=val)
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
        results.append((as_set(texts, result), result.merged["duplicates"]))
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
        ids = result.assignment.row_ids[result.split == side]
        assert sorted(ids) == list(range(len(ids)))
    assert (result.assignment.row_ids[result.split == LEFT_OUT] == -1).all()
    merged = np.count_nonzero(result.split == LEFT_OUT)
    assert merged == result.merged["duplicates"] + result.merged["train_also_in_test"]


@settings(deadline=None)
@given(noisy)
def test_each_text_has_a_row_for_each_of_its_labels(rows) -> None:
    texts, labels, _ = with_solid(rows)
    result = split(texts, labels)
    used = np.flatnonzero(result.split != LEFT_OUT).tolist()
    pairs = sorted((texts[row], labels[row]) for row in used)
    assert pairs == sorted(set(zip(texts, labels, strict=True)))
    shared = {text for text, label in pairs if (text, 1 - label) in pairs}
    assert result.num_conflicts == len(shared)
    assert sum(result.conflicts.values()) == 2 * len(shared)
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
    # Texts 0 and 3 have two labels; of the others, those that come before.
    shared = [(0, 0, 0), (0, 2, 0), (1, 1, 0), (1, 2, 0)]
    number, labels, before = np.array(shared).T
    alone = Alone(np.array([2, 2, 1]), 2, number, labels, before)
    sizes = np.bincount([label for _, label in pairs]).tolist()
    quotas = quotas_of(sizes, test_share=0.2, val_share=0.1)
    dealt = deal(alone, quotas, sizes=sizes, held=np.zeros((3, 3), dtype=np.int64))
    assert dealt.shared.tolist() == [TEST, TEST]
    assert (dealt.test.tolist(), dealt.val.tolist()) == ([0, 0, 0], [1, 1, 0])


def test_of_rows_of_one_text_the_letters_decide_not_the_order() -> None:
    texts = ["Same", "same", *distinct([5, 5])[0]]
    labels = [0, 0, *distinct([5, 5])[1]]
    chosen = set()
    for order in (range(12), range(11, -1, -1)):
        result = split([texts[n] for n in order], [labels[n] for n in order])
        chosen.add(frozenset(texts[order[row]] for row in np.flatnonzero(result.is_used)))
    assert len(chosen) == 1


def test_an_official_test_stays_as_published() -> None:
    texts = ["shared", "twice", "twice", "shared", "again", "again", "again", "a", "b", "c"]
    labels = [0, 0, 1, 1, 1, 1, 1, 0, 1, 0]
    official = [True, True, True] + [False] * 7
    result = split(texts, labels, official=official)
    assert result.split[:4].tolist() == [TEST, TEST, TEST, LEFT_OUT]
    assert sorted(result.assignment.row_ids[:3]) == [0, 1, 2]
    assert result.labels[:3].tolist() == [0, 0, 1]
    assert (result.merged["duplicates"], result.merged["train_also_in_test"]) == (2, 1)
    assert rows_of(result, VAL, 2) == [1, 1]


looks = st.lists(st.tuples(st.sampled_from([TRAIN, VAL, TEST]), st.integers(0, 4)))


@given(looks)
def test_what_looks_alike_stands_on_the_last_of_its_sides(rows) -> None:
    sides = np.array([side for side, _ in rows], dtype=np.int8)
    keys = np.array([(look, 1) for _, look in rows], dtype=np.uint64).reshape(-1, 2)
    last = {look: max(s for s, other in rows if other == look) for _, look in rows}
    lost = lost_by_look(sides, keys).tolist()
    assert lost == [side < last[look] for side, look in rows]


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
    monkeypatch.setattr("rnnlane.data.prepare.keys._mix", np.zeros_like)
    texts, labels = distinct([6, 6])
    result = split(texts + texts, labels + labels)
    assert result.merged["duplicates"] == 12
    assert sum(rows_of(result, side, 2)[0] for side in (TRAIN, VAL, TEST)) == 6
