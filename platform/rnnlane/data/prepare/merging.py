"""The rows of one partition: brought into canonical order, merged by text, dealt out, numbered.

Each function is a task's. What it returns first stays where it was made, and the next tasks read
it; what it returns second is told to ``row_selection``, which decides for all partitions at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnlane.data.prepare.described import Partition, text_order
from rnnlane.data.prepare.grouping import GroupCounts
from rnnlane.data.prepare.keys import Keys, key_array, row_keys
from rnnlane.data.prepare.placed import Placed
from rnnlane.data.prepare.splits import (
    ALIKE,
    EMPTY,
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    Alone,
    Dealt,
    Sides,
    lost_by_look,
)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """The rows of a partition in canonical order: by hash, then by key, label and content.

    Attributes:
        place: int64 [N].
        text: int64 [N]: number of the row's text, rising from 0.
        labels: int64 [N].
        exact: uint64 [N, 2]; see :func:`keys.exact_key`.
        look: uint64 [N, 2]; see :func:`keys.token_key`.
        has_look: bool [N]: whether the text settings leave anything to see.
        is_test: bool [N]: rows of the official test.
        group: int64 [N], index in ``group_names``; -1 of a row without one.
        group_names: strings.
    """

    place: Ints
    text: Ints
    labels: Ints
    exact: Keys
    look: Keys
    has_look: Bools
    is_test: Bools
    group: Ints
    group_names: pa.StringArray

    def __len__(self) -> int:
        return len(self.place)

    @property
    def num_texts(self) -> int:
        """Different texts."""
        return int(self.text[-1]) + 1 if len(self) else 0

    def relabeled(self, new_labels: Ints) -> Rows:
        """With other labels.

        Args:
            new_labels: int64 [C], by old label; rows of a negative one go.
        """
        labels = new_labels[self.labels]
        kept = np.flatnonzero(labels >= 0)
        columns = (self.place, self.exact[:, 1], self.exact[:, 0], labels, self.text)
        order = kept[np.lexsort([column[kept] for column in columns])]
        _, text = np.unique(self.text[order], return_inverse=True)
        return Rows(
            place=self.place[order],
            text=text,
            labels=labels[order],
            exact=self.exact[order],
            look=self.look[order],
            has_look=self.has_look[order],
            is_test=self.is_test[order],
            group=self.group[order],
            group_names=self.group_names,
        )


class _Entries(NamedTuple):
    """Rows of the same text brought together; those of the official test stay as they are.

    An entry is a text with one of its labels, represented by one row.

    Attributes:
        outside: int64 [M]: the rows whose text is not in the official test.
        rows: int64 [E]: the row that represents each entry.
        text: int64 [E]: rising.
        labels: int64 [E].
        is_shared: bool [E]: whether the text has other labels as well.
    """

    outside: Ints
    rows: Ints
    text: Ints
    labels: Ints
    is_shared: Bools

    @classmethod
    def of(cls, rows: Rows) -> _Entries:
        in_test = np.zeros(rows.num_texts, dtype=np.bool_)
        in_test[rows.text[rows.is_test]] = True
        outside = np.flatnonzero(~in_test[rows.text])
        text, labels = rows.text[outside], rows.labels[outside]
        is_first = (np.diff(text, prepend=-1) != 0) | (np.diff(labels, prepend=-1) != 0)
        text, labels = text[is_first], labels[is_first]
        is_shared = (np.bincount(text, minlength=rows.num_texts) > 1)[text]
        return cls(outside, outside[is_first], text, labels, is_shared)

    def used(self, *, keep_shared: bool) -> _Entries:
        """Without those of texts that have several labels, unless these are kept."""
        if keep_shared or not self.is_shared.any():
            return self
        used = ~self.is_shared
        return _Entries(
            self.outside, self.rows[used], self.text[used], self.labels[used], self.is_shared[used]
        )


@dataclass(frozen=True)
class TextCounts:
    """The rows of a partition in numbers.

    Attributes:
        num_rows: that have a label.
        num_repeated: rows left out because they repeat an id; they are not among ``num_rows``.
        num_test: rows of the official test.
        num_with_group: rows that have one.
        rows: int64 [C]: rows of each class.
        entries: int64 [C]: different texts of each class that are not in the official test.
        shared: int64 [C]: those of them that have other labels as well.
        num_shared: the texts of these.
        num_duplicates: rows that another one of the same text and label represents.
        num_in_test: rows outside the official test whose text is in it; they are left out.
    """

    num_rows: int
    num_repeated: int
    num_test: int
    num_with_group: int
    rows: Ints
    entries: Ints
    shared: Ints
    num_shared: int
    num_duplicates: int
    num_in_test: int

    @classmethod
    def of(cls, rows: Rows, *, num_classes: int, num_repeated: int = 0) -> TextCounts:
        """Counts them."""
        entries = _Entries.of(rows)
        shared = entries.labels[entries.is_shared]
        num_test = int(np.count_nonzero(rows.is_test))
        return cls(
            num_rows=len(rows),
            num_repeated=num_repeated,
            num_test=num_test,
            num_with_group=int(np.count_nonzero(rows.group >= 0)),
            rows=np.bincount(rows.labels, minlength=num_classes),
            entries=np.bincount(entries.labels, minlength=num_classes),
            shared=np.bincount(shared, minlength=num_classes),
            num_shared=len(np.unique(entries.text[entries.is_shared])),
            num_duplicates=len(entries.outside) - len(entries.rows),
            num_in_test=len(rows) - num_test - len(entries.outside),
        )

    def __add__(self, other: TextCounts) -> TextCounts:
        return TextCounts(**{name: value + vars(other)[name] for name, value in vars(self).items()})


def repeated_ids(ids: Partition, class_names: Sequence[str], *tables: pa.Table) -> tuple[Ints, int]:
    """Which rows repeat an id: of those that share one, all but the text with the smallest key.

    Train and official test may number their rows independently, so an id counts within one. Rows
    with the same id and text are all kept: they are merged later, or their labels are in conflict.

    Args:
        ids: those of which hashes are looked at.
        class_names: rows with other labels do not count.
        tables: all, of ``DESCRIBED_SCHEMA``.

    Returns:
        The places of the rows, rising, and how many they are.
    """
    names = pa.array(class_names, pa.string())
    columns = ["official_test", "id", "key", "place"]
    found = []
    for table in tables:
        is_own = pa.array(ids.holds(table["id_hash"].to_numpy()))
        is_own = pc.and_(is_own, table["id"].is_valid())
        is_own = pc.and_(is_own, pc.is_in(table["label"], value_set=names))
        found.append(table.select(columns).filter(is_own))
    rows = pa.concat_tables(found)
    if rows.num_rows == 0:
        return np.zeros(0, dtype=np.int64), 0
    ordered = rows.sort_by([(name, "ascending") for name in columns]).combine_chunks()
    official, one, keys, place = (column.chunk(0) for column in ordered.columns)
    same_id = pc.equal(one[1:], one[:-1]).to_numpy(zero_copy_only=False)
    same_side = pc.equal(official[1:], official[:-1]).to_numpy(zero_copy_only=False)
    is_first = np.concatenate([[True], ~(same_id & same_side)])
    first = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
    is_repeated = pc.not_equal(keys, keys.take(pa.array(first))).to_numpy(zero_copy_only=False)
    places = np.sort(place.to_numpy()[is_repeated])
    return places, len(places)


def merge(
    partition: Partition,
    class_names: Sequence[str],
    has_official: bool,
    num_tables: int,
    *parts: pa.Table | Ints,
) -> tuple[Rows, TextCounts]:
    """Takes a partition's rows, without those that have no class or repeat an id.

    Args:
        partition: which rows.
        class_names: by label.
        has_official: whether the official test is used as one; else its rows are like others.
        num_tables: how many of the parts are tables.
        parts: all tables of ``DESCRIBED_SCHEMA``, then all results of :func:`repeated_ids`.
    """
    table = partition.rows_of(parts[:num_tables])
    names = pa.array(class_names, pa.string())
    labels = pc.fill_null(pc.index_in(table["label"], value_set=names), -1).to_numpy()
    is_repeated = np.zeros(len(labels), dtype=np.bool_)
    for places in parts[num_tables:]:
        is_repeated |= np.isin(table["place"].to_numpy(), places)
    kept = np.flatnonzero((labels >= 0) & ~is_repeated)
    num_repeated = int(np.count_nonzero((labels >= 0) & is_repeated))
    labels = labels[kept].astype(np.int64)
    table = table.take(pa.array(kept)).combine_chunks()
    keys, exact, look = (key_array(table[name]) for name in ("key", "exact", "look"))
    place = table["place"].to_numpy()
    order, text = text_order(table["hash"].to_numpy(), keys, exact, labels, place)
    groups = table["group"].combine_chunks().dictionary_encode()
    rows = Rows(
        place=place[order],
        text=text,
        labels=labels[order],
        exact=exact[order],
        look=look[order],
        has_look=table["look"].is_valid().to_numpy()[order],
        is_test=table["official_test"].to_numpy()[order] & has_official,
        group=groups.indices.fill_null(-1).to_numpy()[order].astype(np.int64),
        group_names=groups.dictionary,
    )
    return rows, TextCounts.of(rows, num_classes=len(class_names), num_repeated=num_repeated)


def relabel(rows: Rows, new_labels: Ints, num_classes: int) -> tuple[Rows, TextCounts]:
    """Merges again with other labels; see :meth:`Rows.relabeled`."""
    rows = rows.relabeled(new_labels)
    return rows, TextCounts.of(rows, num_classes=num_classes)


def count_groups(rows: Rows, keep_shared: bool) -> tuple[None, GroupCounts]:
    """Counts the rows of each group; see :class:`grouping.GroupCounts`."""
    entries = _Entries.of(rows).used(keep_shared=keep_shared)
    is_used = np.zeros(rows.num_texts, dtype=np.bool_)
    is_used[entries.text] = True
    dealt = entries.outside[is_used[rows.text[entries.outside]]]
    return None, GroupCounts.of(
        names=rows.group_names,
        text=rows.text[dealt],
        group=rows.group[dealt],
        entry_text=entries.text,
        entry_labels=entries.labels,
        in_test=np.unique(rows.group[rows.is_test & (rows.group >= 0)]),
    )


def count_alone(
    rows: Rows, keep_shared: bool, side_of_group: Sides | None, num_classes: int
) -> tuple[None, Alone]:
    """Counts the texts that are dealt one by one.

    Args:
        rows: of a partition.
        keep_shared: whether texts of several labels are used.
        side_of_group: int8, by index in ``group_names``: where groups of several texts go,
            ``LEFT_OUT`` of others; None if texts are not dealt by groups.
        num_classes: the labels are in [0, num_classes).
    """
    found = _ToDeal.of(rows, keep_shared, side_of_group)
    labels = found.entries.labels
    return None, Alone(
        singles=np.bincount(labels[found.is_single], minlength=num_classes),
        num_shared=int(found.shared.max()) + 1 if len(found.shared) else 0,
        shared=found.shared,
        labels=labels[found.is_shared],
        before=_number_in_class(labels, found.is_single)[found.is_shared],
    )


def assign(
    rows: Rows, keep_shared: bool, side_of_group: Sides | None, dealt: Dealt
) -> tuple[Sides, int]:
    """The side of each row of a partition: int8 [N]; and how many the text settings leave empty.

    Args:
        rows: of a partition.
        keep_shared: whether texts of several labels are used.
        side_of_group: as for :func:`count_alone`.
        dealt: where what that counted goes.
    """
    found = _ToDeal.of(rows, keep_shared, side_of_group)
    labels = found.entries.labels
    number = _number_in_class(labels, found.is_single)
    test, end = dealt.test[labels], (dealt.test + dealt.val)[labels]
    single_side = np.where(number < test, TEST, np.where(number < end, VAL, TRAIN))
    side = np.where(found.is_single, single_side, found.side).astype(np.int8)
    side[found.is_shared] = dealt.shared[found.shared]
    split = np.full(len(rows), LEFT_OUT, dtype=np.int8)
    split[rows.is_test] = TEST
    split[found.entries.rows] = side
    is_empty = (split >= 0) & ~rows.has_look
    split[is_empty] = EMPTY
    return split, int(np.count_nonzero(is_empty))


class _ToDeal(NamedTuple):
    """What is dealt of a partition, and how.

    Attributes:
        entries: those that are used, E.
        side: int8 [E]: by the text's group; ``LEFT_OUT`` of texts that are dealt one by one.
        is_single: bool [E]: of those, the ones of one label.
        is_shared: bool [E]: the others.
        shared: int64 [number of ``is_shared``]: number of their texts among such, rising from 0.
    """

    entries: _Entries
    side: Sides
    is_single: Bools
    is_shared: Bools
    shared: Ints

    @classmethod
    def of(cls, rows: Rows, keep_shared: bool, side_of_group: Sides | None) -> _ToDeal:
        entries = _Entries.of(rows).used(keep_shared=keep_shared)
        side = np.full(rows.num_texts, LEFT_OUT, dtype=np.int8)
        if side_of_group is not None:
            with_group = entries.outside[rows.group[entries.outside] >= 0]
            side[rows.text[with_group]] = side_of_group[rows.group[with_group]]
        side = side[entries.text]
        is_alone = side == LEFT_OUT
        is_shared = is_alone & entries.is_shared
        _, shared = np.unique(entries.text[is_shared], return_inverse=True)
        return cls(entries, side, is_alone & ~entries.is_shared, is_shared, shared)


def _number_in_class(labels: Ints, counted: Bools) -> Ints:
    """How many of the rows counted come before each row in its class: int64 [N]."""
    order = np.argsort(labels, kind="stable")
    of_class, is_counted = labels[order], counted[order].astype(np.int64)
    before = np.cumsum(is_counted) - is_counted
    first = np.searchsorted(of_class, of_class)
    numbers = np.empty(len(labels), dtype=np.int64)
    numbers[order] = before - before[first] if len(labels) else before
    return numbers


def lose_alike(looks: Partition, *parts: Any) -> tuple[list[Ints], None]:
    """Finds the rows of train and val that look to the model like a row of a later split.

    Texts that differ in a word without an id of its own are not alike: a name that the vocabulary
    lacks makes a text a new one, although the model cannot read it.

    Args:
        looks: which looks.
        parts: the :class:`Rows` of all partitions, then their sides.

    Returns:
        Of each partition the positions of the rows.
    """
    sides, keys, found = [], [], []
    for rows, split in zip(parts[: looks.of], parts[looks.of :], strict=True):
        own = np.flatnonzero((split >= 0) & looks.holds(rows.look[:, 0]))
        found.append(own)
        sides.append(split[own])
        keys.append(rows.look[own])
    is_lost = lost_by_look(np.concatenate(sides), np.concatenate(keys))
    by_part = np.split(is_lost, np.cumsum([len(own) for own in found])[:-1])
    return [own[lost] for own, lost in zip(found, by_part, strict=True)], None


@dataclass(frozen=True)
class PlacedCounts:
    """The rows of a :class:`Placed` in numbers.

    Attributes:
        of_class: int64 [3, C]: rows of train, val and test by class.
        lost: int64 [3]: rows that were taken out of them because they look like a later one's.
    """

    of_class: Ints
    lost: Ints


def place(
    partition: Partition,
    class_names: Sequence[str],
    rows: Rows,
    split: Sides,
    *lost: Sequence[Ints],
) -> tuple[Placed, PlacedCounts]:
    """Numbers the rows of a partition in each split, in canonical order.

    Args:
        partition: which.
        class_names: by label.
        rows: its rows.
        split: int8 [N]: their sides.
        lost: all results of :func:`lose_alike`.
    """
    before, split = split, split.copy()
    for of_partitions in lost:
        split[of_partitions[partition.number]] = ALIKE
    used = np.flatnonzero(split >= 0)
    split, labels = split[used], rows.labels[used]
    keys = row_keys(rows.exact[used], labels, class_names)
    side = split.astype(np.int64)
    number = _number_in_class(side, np.ones(len(used), dtype=np.bool_))
    order = np.argsort(rows.place[used])
    placed = Placed(
        rows.place[used][order], split[order], number[order], labels[order], keys[order]
    )
    num_classes = len(class_names)
    of_class = np.bincount(side * num_classes + labels, minlength=3 * num_classes)
    all_of_side = np.bincount(before[before >= 0], minlength=3)
    left = np.bincount(split, minlength=3)
    return placed, PlacedCounts(of_class.reshape(3, num_classes), all_of_side - left)
