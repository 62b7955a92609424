from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.blocks import TOKENS_SCHEMA
from rnnlane.data.prepare.keys import content_key, exact_key, split_key
from rnnlane.data.prepare.placed import Span, assigned
from rnnlane.data.prepare.splits import TEST, TRAIN, VAL
from rnnlane.errors import DataError
from support.selected import Selected, selected

Row = dict[str, Any]


def row(text: str, label: str | None, **values: Any) -> Row:
    defaults = {
        "look": content_key(text.encode()),
        "id": None,
        "official_test": False,
        "group": None,
        "dropped": None,
        "invalid_utf8": False,
        "cut_chars": False,
        "cut_length": False,
    }
    return {
        "key": split_key(text) or bytes(16),
        "exact": exact_key(text),
        "label": label,
        **defaults,
        **values,
    }


def rows_of(*labels: str, count: int = 5) -> list[Row]:
    return [row(f"{label} {n}", label) for label in labels for n in range(count)]


def select(rows: list[Row], *, num_partitions: int = 3, **data: Any) -> Selected:
    source = {"kind": "csv", "path": "x", "test_path": "y"}
    if data.get("test") != "official":
        del source["test_path"]
    config = DataConfig.model_validate({"source": source, "max_dropped": 1, **data})
    table = pa.Table.from_pylist(rows, TOKENS_SCHEMA)
    return selected(table, config=config, num_partitions=num_partitions)


def test_classes_are_the_labels_found_sorted() -> None:
    assert select(rows_of("pos", "neg")).class_names == ("neg", "pos")
    assert select(rows_of("10", "9", "-1")).class_names == ("-1", "9", "10")
    assert select(rows_of("b", "2", "10")).class_names == ("2", "10", "b")


def test_classes_that_differ_only_in_their_writing_are_named() -> None:
    (warning,) = select(rows_of("Spam", "spam", "ham")).warnings
    assert warning.startswith("the classes 'Spam', 'spam' may be one")
    assert select(rows_of("spam", "ham", "-1", "1")).warnings == ()


def test_configured_classes_keep_their_order() -> None:
    selection = select(rows_of("neg", "pos"), classes=("pos", "neg"))
    assert selection.class_names == ("pos", "neg")
    assert selection.assignment.labels.tolist() == [1] * 5 + [0] * 5


def test_an_unknown_label_is_refused_with_its_count() -> None:
    with pytest.raises(DataError, match=r"among 'neg', 'pos', but got 'maybe' \(5 rows\)"):
        select(rows_of("neg", "pos", "maybe"), classes=("neg", "pos"))


def test_an_unknown_label_is_dropped_and_counted_if_asked() -> None:
    selection = select(rows_of("neg", "pos", "maybe"), classes=("neg", "pos"), unknown_label="drop")
    assert selection.dropped == {"unknown_label": 5}
    assert not selection.is_used[10:].any()


def test_unusable_rows_are_counted_by_reason_and_go_nowhere() -> None:
    bad = [row("x", None, dropped="null_label"), row("y", "pos", dropped="empty_text")]
    selection = select(bad + rows_of("neg", "pos"))
    assert selection.dropped == {"empty_text": 1, "null_label": 1}
    assert selection.assignment.split[:2].tolist() == [-1, -1]
    assert (selection.assignment.split[2:] >= 0).all()


@pytest.mark.parametrize("rows", [[], [row("x", None, dropped="null_label")]])
def test_no_usable_row_at_all_is_refused(rows: list[Row]) -> None:
    with pytest.raises(DataError, match="none is left"):
        select(rows)


def test_of_rows_that_share_an_id_the_smallest_key_is_kept() -> None:
    texts = ["first", "second", "third"]
    shared = [row(text, "pos", id="7") for text in texts]
    selection = select(shared + rows_of("neg", "pos"))
    keys = [split_key(text) for text in texts]
    assert selection.dropped == {"duplicate_id": 2}
    kept = np.flatnonzero(selection.assignment.split[:3] >= 0).tolist()
    assert kept == [keys.index(min(keys))]


def test_rows_that_share_an_id_and_a_text_are_duplicates_or_a_conflict() -> None:
    twice = [{**entry, "id": str(n)} for n, entry in enumerate(rows_of("neg", "pos"))] * 2
    selection = select([*twice, row("x", "neg", id="x"), row("X", "pos", id="x")], max_dropped=0)
    assert (selection.dropped, selection.merged["duplicates"]) == ({}, 10)
    assert selection.conflicts == {"neg": 1, "pos": 1}


def test_rows_without_an_id_are_all_kept() -> None:
    assert select(rows_of("neg", "pos")).dropped == {}


def test_train_and_official_test_number_their_rows_independently() -> None:
    rows = [
        row(f"{label} {side} {n}", label, id=f"{label}{n}", official_test=side == "test")
        for label in ("neg", "pos")
        for side in ("train", "test")
        for n in range(4)
    ]
    selection = select(rows, test="official")
    assert selection.dropped == {}
    on_test = selection.assignment.split == 2
    assert on_test.tolist() == [r["official_test"] for r in rows]


def test_an_id_on_both_sides_is_no_repetition() -> None:
    rows = [
        row(
            f"{label} {side} {n}",
            label,
            id="7" if (label, n) == ("neg", 0) else None,
            official_test=side == "test",
        )
        for label in ("neg", "pos")
        for side in ("train", "test")
        for n in range(4)
    ]
    assert select(rows, test="official").dropped == {}


@given(st.randoms(use_true_random=False), st.sampled_from([1, 2, 20]))
def test_neither_order_nor_partitions_of_rows_matter(random: Any, num_partitions: int) -> None:
    rows = rows_of("neg", "pos", count=8)
    rows += [row(f"text {n}", "pos", id=str(n % 3)) for n in range(9)]
    rows += [row("same", "neg", id="x"), row("same", "pos", id="x"), row("neg 1", "pos")]
    shuffled = random.sample(rows, len(rows))

    def outcome(given: list[Row], **how: int) -> tuple[set[tuple[object, ...]], dict[str, int]]:
        selection = select(given, **how)
        assignment = selection.assignment
        columns = (assignment.split, assignment.row_ids, assignment.labels)
        places = zip([r["key"] for r in given], *(c.tolist() for c in columns), strict=True)
        return {place for place in places if place[1] >= 0}, selection.dropped | selection.merged

    assert outcome(shuffled, num_partitions=num_partitions) == outcome(rows)


def counts(selection: Selected) -> dict[str, list[int]]:
    """Rows of each class in train, val and test."""
    return {
        name: [
            int(np.count_nonzero((selection.split == side) & (selection.labels == label)))
            for side in (TRAIN, VAL, TEST)
        ]
        for label, name in enumerate(selection.class_names)
    }


def shared(count: int, *labels: str) -> list[Row]:
    return [row(f"shared {n}", label) for n in range(count) for label in labels]


def test_texts_of_two_labels_are_kept_with_both_on_one_side() -> None:
    rows = [*rows_of("English", "Scottish", count=10), *shared(20, "English", "Scottish")]
    selection = select(rows)
    assert {name: sum(sizes) for name, sizes in counts(selection).items()} == {
        "English": 30,
        "Scottish": 30,
    }
    sides = selection.split[20:].reshape(20, 2)
    assert (sides[:, 0] == sides[:, 1]).all()
    assert selection.conflicts == {"English": 20, "Scottish": 20}
    assert (selection.num_conflicts, selection.dropped) == (20, {})


def test_texts_of_two_labels_are_dropped_or_refused_if_asked() -> None:
    rows = [*rows_of("English", "Scottish", count=10), *shared(20, "English", "Scottish")]
    selection = select(rows, conflicts="drop", max_dropped=0)
    assert {name: sum(sizes) for name, sizes in counts(selection).items()} == {
        "English": 10,
        "Scottish": 10,
    }
    assert selection.dropped == {"conflicting_label": 40}
    assert selection.conflicts == {"English": 20, "Scottish": 20}
    with pytest.raises(DataError, match=r"20 texts have several .*'English': 20, 'Scottish': 20"):
        select(rows, conflicts="error")
    with pytest.raises(DataError, match="1 of 3 classes has fewer: 'Welsh': 0"):
        select([*rows, *shared(9, "Welsh")], conflicts="drop")


def test_all_classes_that_are_too_small_are_named_at_once() -> None:
    rows = [*rows_of("a", "b"), row("x", "c"), row("y", "d"), row("z", "d")]
    with pytest.raises(DataError, match="2 of 4 classes have fewer: 'c': 1, 'd': 2") as caught:
        select(rows)
    assert "data.rare_classes" in str(caught.value.remedy)
    rows[-1] = row("Y", "d")
    with pytest.raises(DataError, match="'c': 1, 'd': 1"):
        select(rows)
    with pytest.raises(DataError, match=r"at least 3 .* 1 of 3 classes has fewer: 'c': 0"):
        select(rows_of("a", "b"), classes=("a", "b", "c"))


def test_rare_classes_are_dropped_or_merged_if_asked() -> None:
    rows = [*rows_of("a", "b"), row("x", "c"), row("y", "d"), row("z", "d")]
    dropped = select(rows, rare_classes="drop", max_dropped=0)
    assert (dropped.class_names, dropped.dropped) == (("a", "b"), {"rare_class": 3})
    assert dropped.warnings == ("rare classes are dropped, by texts: 'c': 1, 'd': 2",)
    assert not dropped.is_used[10:].any()
    merged = select(rows, rare_classes="merge: other")
    assert counts(merged)["other"] == [1, 1, 1]
    assert merged.class_names == ("a", "b", "other")
    assert merged.warnings == ("rare classes are merged into 'other', by texts: 'c': 1, 'd': 2",)
    assert counts(select(rows, rare_classes="merge:b"))["b"] == [5, 1, 2]
    assert counts(select(rows, rare_classes="merge: b\u200b"))["b"] == [5, 1, 2]
    configured = select(rows, rare_classes="merge:0", classes=("b", "c", "d", "a"))
    assert configured.class_names == ("b", "0", "a")
    with pytest.raises(DataError, match="1 of 3 classes has fewer: 'other': 1"):
        select(rows[:-2], rare_classes="merge:other")
    with pytest.raises(DataError, match="1 of 3 classes has fewer: 'other': 0") as caught:
        select(rows[:-3], rare_classes="merge:other", classes=("a", "b", "other"))
    assert caught.value.remedy == "give more rows, or set data.rare_classes: drop"


def test_merging_rare_classes_merges_their_conflicts() -> None:
    rows = [*rows_of("a", "b"), *shared(1, "c", "d"), row("y", "d"), row("z", "e")]
    selection = select(rows, rare_classes="merge:other")
    assert counts(selection)["other"] == [1, 1, 1]
    assert selection.conflicts == {}
    assert selection.merged["duplicates"] == 1


def official(train: list[Row], test: list[Row]) -> list[Row]:
    return [*train, *({**entry, "official_test": True} for entry in test)]


def test_an_official_test_may_lack_classes_but_not_rows() -> None:
    train = rows_of("a", "b", "c")
    selection = select(official(train, [row("x", "a"), row("y", "a")]), test="official")
    assert [sizes[2] for sizes in counts(selection).values()] == [2, 0, 0]
    with pytest.raises(DataError, match="official test must hold rows"):
        select(train, test="official")


def test_a_class_of_the_official_test_alone_is_too_small_to_train() -> None:
    rows = official(rows_of("a", "b"), [row("x", "a"), row("y", "c")])
    with pytest.raises(DataError, match=r"train and val, so at least 2 .*: 'c': 0"):
        select(rows, test="official")
    selection = select(rows, test="official", rare_classes="drop")
    assert (selection.split == TEST).tolist() == [False] * 10 + [True, False]


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(DataError, match="at least two classes, but all 9 are 'a'"):
        select(rows_of("a", count=9))
    with pytest.raises(DataError, match="at least two classes, but all 9 are 'a'"):
        select([*rows_of("a", count=9), row("x", "b")], rare_classes="drop")


def test_too_many_unusable_rows_are_refused_with_what_to_look_at() -> None:
    bad = [row("x", None, dropped="null_text")] * 2 + [row("y", None, dropped="empty_text")]
    rows = rows_of("a", "b", count=20)
    with pytest.raises(DataError, match=r"5\.0% .* 3 of 43 \(7\.0%\) are \(2 null_text, 1 empty"):
        select([*rows, *bad], max_dropped=0.05)
    assert select([*rows, *bad[1:]], max_dropped=0.05).dropped == {
        "null_text": 1,
        "empty_text": 1,
    }


def test_rows_that_lack_a_text_are_told_before_the_classes_that_they_empty() -> None:
    rows = [row("x", "a", dropped="null_text")] * 20 + rows_of("b", count=9)
    with pytest.raises(DataError, match="20 null_text"):
        select(rows, max_dropped=0.05)


def test_many_rows_that_share_an_id_are_refused_too() -> None:
    rows = [{**entry, "id": str(n % 9)} for n, entry in enumerate(rows_of("a", "b", count=20))]
    with pytest.raises(DataError, match="duplicate_id") as caught:
        select(rows, max_dropped=0.05)
    assert "data.columns.id" in str(caught.value.remedy)
    with pytest.raises(DataError, match="39 duplicate_id"):
        select([{**entry, "id": "7"} for entry in rows], max_dropped=0.05)


TEXTS = [" ".join(f"w{digit}" for digit in f"{n:04d}") for n in range(0, 9999, 7)]


def variant(length: int) -> list[Row]:
    """Rows of which the model sees the first words."""
    return [
        row(text, "ab"[n % 2], look=content_key(text[: 3 * length].encode()))
        for n, text in enumerate(TEXTS)
    ]


def test_variants_of_the_text_settings_have_the_same_test_rows() -> None:
    whole = select(variant(4))
    assert "train_like_val_or_test" not in whole.dropped
    cut = select(variant(3))
    assert (cut.split == TEST).tolist() == (whole.split == TEST).tolist()
    for side, reason in ((TRAIN, "train_like_val_or_test"), (VAL, "val_like_test")):
        lost = (whole.split == side) & (cut.split != side)
        assert np.count_nonzero(lost) == cut.dropped[reason] > 0
        assert not np.any((cut.split == side) & (whole.split != side))
    sides: dict[bytes, set[int]] = {}
    for entry, side in zip(variant(3), cut.split.tolist(), strict=True):
        if side >= 0:
            sides.setdefault(entry["look"], set()).add(side)
    assert all(len(found) == 1 for found in sides.values())


def test_a_row_that_the_settings_leave_empty_changes_no_other_row() -> None:
    whole = select(variant(4))
    rows = variant(4)
    for entry in rows[::9]:
        entry["look"] = None
    selection = select(rows)
    is_empty = np.arange(len(rows)) % 9 == 0
    assert not selection.is_used[is_empty].any()
    assert (selection.split[~is_empty] == whole.split[~is_empty]).all()
    assert selection.dropped == {"empty_text": int(np.count_nonzero(is_empty))}


def test_a_class_that_cannot_be_told_from_test_is_refused() -> None:
    rows = [*rows_of("a", "b", count=20), *(row(f"c {n}", "c", look=b"c" * 16) for n in range(9))]
    with pytest.raises(DataError, match=r"no row of class 'c' is left: .* look to the model") as e:
        select(rows)
    assert "text.max_length" in str(e.value.remedy)


def test_the_rows_that_are_left_are_numbered_without_gaps() -> None:
    selection = select(variant(3))
    assignment = selection.assignment
    for side in (TRAIN, VAL, TEST):
        row_ids = assignment.row_ids[assignment.split == side].tolist()
        assert sorted(row_ids) == list(range(len(row_ids)))
    assert (assignment.row_ids[~selection.is_used] == -1).all()


def test_the_rows_of_a_span_go_where_they_go_among_all() -> None:
    selection = select(variant(3))
    for first, num_rows in ((0, 100), (100, 700), (800, len(TEXTS) - 800)):
        part = assigned(Span(first, num_rows), selection.numbers_before, *selection.placed)
        for name, values in vars(part).items():
            whole = getattr(selection.assignment, name)[first : first + num_rows]
            np.testing.assert_array_equal(values, whole)


RANDOM_ROWS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from("abcdef"),
        st.sampled_from([None, None, "1", "2"]),
        st.booleans(),
        st.sampled_from([None, None, None, None, "null_text"]),
    ),
    max_size=60,
)


@given(
    RANDOM_ROWS,
    st.sampled_from(["keep", "drop", "error"]),
    st.sampled_from(["error", "drop", "merge:other"]),
    st.sampled_from([0.2, 0.5, "official"]),
)
def test_every_row_is_used_or_counted_whatever_the_policies(
    noise: list[tuple[int, str, str | None, bool, str | None]],
    conflicts: str,
    rare_classes: str,
    test: float | str,
) -> None:
    rows = rows_of("a", "b", count=9) + official([], [row("t", "a"), row("u", "b")])
    rows += [
        row(f"text {n}", label, id=id_, official_test=on_test, dropped=dropped, look=b"%16d" % n)
        for n, label, id_, on_test, dropped in noise
    ]
    try:
        selection = select(rows, conflicts=conflicts, rare_classes=rare_classes, test=test)
    except DataError:
        if conflicts != "error" and rare_classes == "drop":
            raise
        return
    left_out = sum(selection.dropped.values()) + sum(selection.merged.values())
    assert np.count_nonzero(selection.is_used) + left_out == len(rows)
    assert set(selection.labels[selection.split == TRAIN]) == set(range(len(selection.class_names)))
    sides: dict[bytes, set[int]] = {}
    for entry, side in zip(rows, selection.split.tolist(), strict=True):
        if side >= 0:
            sides.setdefault(entry["key"], set()).add(side)
    assert all(len(found) == 1 for found in sides.values())


def grouped(rows: list[Row], size: int) -> list[Row]:
    """Rows of which each ``size`` in turn are a group."""
    return [{**entry, "group": f"g{n // size}"} for n, entry in enumerate(rows)]


def sides_of_groups(rows: list[Row], selection: Selected) -> dict[str, set[int]]:
    sides: dict[str, set[int]] = {}
    for entry, side in zip(rows, selection.split.tolist(), strict=True):
        if entry["group"] is not None and side >= 0:
            sides.setdefault(entry["group"], set()).add(side)
    return sides


def test_hundreds_of_classes_are_all_in_every_split() -> None:
    names = [f"c{n:03d}" for n in range(300)]
    selection = select(rows_of(*names, count=4))
    assert len(selection.class_names) == 300
    assert all(min(sizes) >= 1 for sizes in counts(selection).values())
    grouped_rows = grouped(rows_of(*names, count=8), 2)
    assert len(select(grouped_rows).class_names) == 300


GROUPED_ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from("ab"), st.integers(-3, 20)), max_size=50
)


@settings(max_examples=25)
@given(GROUPED_ROWS, st.randoms(use_true_random=False))
def test_groups_linked_by_texts_stay_together_in_any_order(
    noise: list[tuple[int, str, int]], random: Any
) -> None:
    rows = [*grouped(rows_of("a", "b", count=30), 3), *rows_of("a", "b", count=40)[30:]]
    rows += [
        row(f"text {n}", label, group=None if group < 0 else f"h{group}", look=b"%16d" % (n // 4))
        for n, label, group in noise
    ]
    rows += [row("x", "a", group="g0"), row("x", "a", group="g11")]
    selection = select(rows)
    sides = sides_of_groups(rows, selection)
    assert all(len(found) == 1 for found in sides.values())
    assert sides["g0"] == sides["g11"]
    left_out = sum(selection.dropped.values()) + sum(selection.merged.values())
    assert np.count_nonzero(selection.is_used) + left_out == len(rows)
    renamed = [{**entry, "group": entry["group"] and entry["group"][::-1]} for entry in rows]
    shuffled = random.sample(renamed, len(rows))
    again = select(shuffled, num_partitions=1)
    places = [
        {
            (entry["key"], side)
            for entry, side in zip(given_rows, chosen.split.tolist(), strict=True)
            if side >= 0
        }
        for given_rows, chosen in ((rows, selection), (shuffled, again))
    ]
    assert places[0] == places[1]
    assert again.groups == selection.groups


def test_what_groups_cost_in_balance_is_told() -> None:
    rows = [*grouped(rows_of("a", "b", count=40), 8), *rows_of("a", "b", count=44)[40:]]
    rows += [row("c 1", "a", group="g0"), row("C 1", "a", group="g4")]
    groups = select(rows).groups
    assert groups is not None
    assert (groups.num_groups, groups.num_joined, groups.largest) == (10, 1, 17)
    assert (groups.num_missing, groups.num_in_test) == (48, 0)
    assert groups.asked == {"test": {"a": 9, "b": 9}, "val": {"a": 4, "b": 3}}
    selection = select(rows)
    for name, side in (("val", VAL), ("test", TEST)):
        got = np.bincount(selection.labels[selection.split == side]).tolist()
        assert list(groups.dealt[name].values()) == got
    assert select(rows_of("a", "b")).groups is None


def test_a_group_of_the_official_test_may_be_in_train_and_is_counted() -> None:
    train = grouped(rows_of("a", "b", count=20), 4)
    held = [row("x", "a", group="g1"), row("y", "b", group="other")]
    selection = select(official(train, held), test="official")
    groups = selection.groups
    assert groups is not None
    assert (groups.num_groups, groups.num_in_test, list(groups.asked)) == (10, 1, ["val"])
    assert np.count_nonzero(selection.split == TEST) == 2


def test_equal_texts_that_are_not_used_link_no_groups() -> None:
    rows = grouped(rows_of("a", "b", count=20), 4)
    rows += [row("x", "a", group="g1"), row("x", "b", group="g7")]
    kept, dropped = (select(rows, conflicts=policy).groups for policy in ("keep", "drop"))
    assert kept is not None
    assert dropped is not None
    assert (kept.num_joined, dropped.num_joined) == (1, 0)


def test_groups_that_cannot_be_split_are_refused() -> None:
    rows = rows_of("a", "b", count=50)
    columns = {"group": "g"}
    with pytest.raises(DataError, match="none of 100 has one") as caught:
        select(rows, columns=columns)
    assert caught.value.where == "data.columns.group"
    large = [{**entry, "group": "none" if n % 4 else f"g{n}"} for n, entry in enumerate(rows)]
    with pytest.raises(DataError, match=r"'none' has 75 of 100 rows, and .* leave 72") as caught:
        select(large, columns=columns)
    assert "lower data.test and data.val" in str(caught.value.remedy)
    with pytest.raises(DataError, match=r"'none' has 75 .* and data.val leave") as caught:
        select(official(large, [row("t", "a")]), columns=columns, test="official", val=0.3)
    linked = [*grouped(rows, 2), *(row("x", "a", group=f"g{n}") for n in range(40))]
    with pytest.raises(DataError, match="'g0' and 39 others that share texts have 81 of 101"):
        select(linked, columns=columns)
    two = [{**entry, "group": entry["label"] if n % 5 else None} for n, entry in enumerate(rows)]
    assert select(two[:50] + two[50:], columns=columns).groups is not None
    with pytest.raises(DataError, match="but 2 groups are too few for all splits"):
        select([{**entry, "group": f"g{n % 2}"} for n, entry in enumerate(rows)], columns=columns)
