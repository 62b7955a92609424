"""The groups of the rows of a source: what links them, what their split costs in balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.groups import UnitCounts, linked_groups
from rnnlane.data.prepare.labels import shortened
from rnnlane.data.prepare.prepared import SPLITS, GroupStats
from rnnlane.data.prepare.splits import LEFT_OUT, TEST, VAL, Quotas, Sides
from rnnlane.errors import DataError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GroupCounts:
    """The groups of the rows of a partition in numbers. A text counts in its first row's group.

    Attributes:
        names: strings [G]: all groups of the partition; those that no row that is dealt has, too.
        is_dealt: bool [G]: groups that such a row has.
        first: int64 [G]: number of the first text of each; the largest integer of one without.
        num_texts: int64 [G].
        group, label, count: int64 [P]: different texts of each group and label.
        links: int64 [L, 2]: groups that share a text.
        num_missing: rows without a group.
        in_test: int64 [T]: groups that the official test has rows of.
    """

    names: pa.StringArray
    is_dealt: Bools
    first: Ints
    num_texts: Ints
    group: Ints
    label: Ints
    count: Ints
    links: Ints
    num_missing: int
    in_test: Ints

    @classmethod
    def of(
        cls,
        *,
        names: pa.StringArray,
        text: Ints,
        group: Ints,
        entry_text: Ints,
        entry_labels: Ints,
        in_test: Ints,
    ) -> GroupCounts:
        """Counts.

        Args:
            names: by group.
            text: int64 [M]: number of the text of each row that is dealt, rising.
            group: int64 [M]: -1 of a row without one.
            entry_text: int64 [E]: of each different text and label, rising.
            entry_labels: int64 [E].
            in_test: the groups of the official test.
        """
        has_group = group >= 0
        num_missing = int(np.count_nonzero(~has_group))
        text, group = text[has_group], group[has_group]
        texts, at = np.unique(text, return_index=True)
        group_of = np.full(int(entry_text[-1]) + 1 if len(entry_text) else 0, -1, dtype=np.int64)
        group_of[texts] = group[at]
        first = np.full(len(names), _NO_TEXT)
        np.minimum.at(first, group[at], texts)
        of_entry = group_of[entry_text]
        pairs, count = np.unique(
            np.stack([of_entry, entry_labels])[:, of_entry >= 0], axis=1, return_counts=True
        )
        is_link = (text[1:] == text[:-1]) & (group[1:] != group[:-1])
        links = np.stack([group[:-1][is_link], group[1:][is_link]], axis=1)
        is_dealt = np.zeros(len(names), dtype=np.bool_)
        is_dealt[group] = True
        return cls(
            names=names,
            is_dealt=is_dealt,
            first=first,
            num_texts=np.bincount(group[at], minlength=len(names)),
            group=pairs[0],
            label=pairs[1],
            count=count,
            links=np.unique(links, axis=0),
            num_missing=num_missing,
            in_test=in_test,
        )


_NO_TEXT = np.iinfo(np.int64).max
# More than a partition has texts.
_TEXTS_OF_PARTITION = 1 << 40


@dataclass(frozen=True)
class Grouping:
    """Which texts are dealt together.

    Attributes:
        unit: int64 [G]: of each group; see :func:`groups.linked_groups`.
        of_partition: for each partition, its groups: int64, by their number there.
        units: those of several texts.
        num_groups: different groups of the rows that are dealt.
        num_joined: how many groups fewer there are when those with equal texts are one.
        num_missing: rows without a group.
        num_in_test: groups that the official test has rows of, too.
        largest: rows of the largest unit, equal ones counted once.
        largest_names: the groups that it is made of.
    """

    unit: Ints
    of_partition: tuple[Ints, ...]
    units: UnitCounts
    num_groups: int
    num_joined: int
    num_missing: int
    num_in_test: int
    largest: int
    largest_names: tuple[str, ...]

    @classmethod
    def of(cls, parts: Sequence[GroupCounts], *, num_classes: int) -> Grouping:
        """Brings the partitions together, in their order."""
        given = pa.concat_arrays([part.names for part in parts])
        names = given.unique()
        numbers = pc.index_in(given, value_set=names).to_numpy().astype(np.int64)
        ends = np.cumsum([len(part.names) for part in parts])
        of_partition = tuple(np.split(numbers, ends[:-1]))
        num_names = len(names)
        first = np.full(num_names, _NO_TEXT)
        num_texts = np.zeros(num_names, dtype=np.int64)
        is_dealt, in_test = (np.zeros(num_names, dtype=np.bool_) for _ in range(2))
        links, pairs = [], []
        for number, (part, groups) in enumerate(zip(parts, of_partition, strict=True)):
            has_text = part.first < _NO_TEXT
            later = part.first[has_text] + number * _TEXTS_OF_PARTITION
            np.minimum.at(first, groups[has_text], later)
            num_texts[groups] += part.num_texts
            is_dealt[groups] |= part.is_dealt
            in_test[groups[part.in_test]] = True
            links.append(groups[part.links])
            pairs.append(np.stack([groups[part.group], part.label, part.count]))
        unit = linked_groups(np.concatenate(links), first)
        group, label, count = np.concatenate(pairs, axis=1)
        sizes = np.bincount(unit, weights=num_texts).astype(np.int64)
        is_several = (sizes > 1)[unit[group]]
        rows = np.bincount(unit[group], weights=count, minlength=len(sizes))
        largest = int(np.argmax(rows)) if len(rows) else -1
        dealt = np.flatnonzero(is_dealt)
        in_largest = dealt[unit[dealt] == largest]
        return cls(
            unit=unit,
            of_partition=of_partition,
            units=UnitCounts.of(
                unit[group[is_several]],
                label[is_several],
                count[is_several],
                num_classes=num_classes,
            ),
            num_groups=len(dealt),
            num_joined=len(dealt) - len(np.unique(unit[dealt])),
            num_missing=sum(part.num_missing for part in parts),
            num_in_test=int(np.count_nonzero(is_dealt & in_test)),
            largest=int(rows[largest]) if len(dealt) else 0,
            largest_names=tuple(sorted(names.take(pa.array(in_largest)).to_pylist())),
        )

    def sides(self, of_unit: Sides) -> list[Sides]:
        """For each partition, where its groups go: ``LEFT_OUT`` of units of one text.

        Args:
            of_unit: int8 [U], of :attr:`units`.
        """
        side = np.full(len(self.unit), LEFT_OUT, dtype=np.int8)
        side[self.units.numbers] = of_unit
        return [side[self.unit[groups]] for groups in self.of_partition]


def check_largest(
    grouping: Grouping, *, num_rows: int, num_held_out: int, config: DataConfig
) -> None:
    """Refuses a group that leaves too little for the other splits.

    Args:
        grouping: of the rows.
        num_rows: rows that are dealt, equal ones counted once.
        num_held_out: those of them that should be in val or test.
        config: the column of the groups.

    Raises:
        DataError: it has more rows than train should have.
    """
    most = num_rows - num_held_out
    if grouping.largest <= most:
        return
    first, *others = grouping.largest_names
    one = "1 other that shares" if len(others) == 1 else f"{len(others):,} others that share"
    several = f" and {one} texts have" if others else " has"
    shares = "data.val" if config.test == "official" else "data.test and data.val"
    raise DataError(
        f"a group must fit into train, but {shortened(first)}{several} {grouping.largest:,} of "
        f"{num_rows:,} rows, and {shares} leave {most:,} to train",
        where=_where(config),
        remedy="name a column with smaller groups, leave the value empty where it stands for no "
        f"group, or lower {shares}",
    )


def group_stats(
    grouping: Grouping,
    dealt: Mapping[int, Ints],
    *,
    class_names: Sequence[str],
    quotas: Quotas,
    config: DataConfig,
) -> GroupStats:
    """What became of the groups.

    Args:
        grouping: of the rows.
        dealt: by side, the rows of each class that it was dealt.
        class_names: by label.
        quotas: rows of each class that test and val should have.
        config: whether there is an official test.

    Raises:
        DataError: a split that was dealt has no row.
    """
    asked, got = {}, {}
    for side, quota in zip((TEST, VAL), quotas, strict=True):
        if side == TEST and config.test == "official":
            continue
        if not dealt[side].any():
            few = (
                "1 group is" if grouping.num_groups == 1 else f"{grouping.num_groups:,} groups are"
            )
            raise DataError(
                f"{SPLITS[side]} must hold rows, but {few} too few for all splits",
                where=_where(config),
                remedy="give rows of more groups, or name a column with more of them",
            )
        asked[SPLITS[side]] = dict(zip(class_names, quota, strict=True))
        got[SPLITS[side]] = dict(zip(class_names, dealt[side].tolist(), strict=True))
    return GroupStats(
        num_groups=grouping.num_groups,
        num_joined=grouping.num_joined,
        num_missing=grouping.num_missing,
        num_in_test=grouping.num_in_test,
        largest=grouping.largest,
        asked=asked,
        dealt=got,
    )


def _where(config: DataConfig) -> str:
    return "data.source" if config.columns.group is None else "data.columns.group"
