"""The groups of the rows of a source: what links them, what their split costs in balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.groups import linked_units
from rnnlane.data.prepare.labels import shortened
from rnnlane.data.prepare.prepared import SPLITS, GroupStats
from rnnlane.data.prepare.splits import TEST, VAL, Quotas, Sides, Texts
from rnnlane.errors import DataError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Grouping:
    """Which texts are dealt together.

    Attributes:
        unit: int64 [T]: of each text; see :func:`groups.linked_units`.
        num_groups: different groups of the rows that are dealt.
        num_joined: how many groups fewer there are when those with equal texts are one.
        num_missing: rows without a group.
        num_in_test: groups that the official test has rows of, too.
        largest: rows of the largest unit, equal ones counted once.
        largest_names: the groups that it is made of.
    """

    unit: Ints
    num_groups: int
    num_joined: int
    num_missing: int
    num_in_test: int
    largest: int
    largest_names: tuple[str, ...]


def grouping_of(
    column: pa.ChunkedArray, texts: Texts, used: Bools, *, is_test: Bools, config: DataConfig
) -> Grouping | None:
    """Finds out which texts are dealt together; None of a source without groups.

    Args:
        column: strings [N]: the group of each row, NULL where it has none.
        texts: of these rows.
        used: bool [E]: the entries of ``texts`` that are dealt.
        is_test: bool [N]: rows of the official test.
        config: whether groups are asked for.

    Raises:
        DataError: they are, but no row has one.
    """
    if column.null_count == len(column):
        if config.columns.group is None:
            return None
        raise DataError(
            f"rows must have a group, but none of {len(column):,} has one",
            where="data.columns.group",
            remedy="name the column that holds the groups, or leave it out",
        )
    group, names = _encoded(column)
    is_used = np.zeros(len(texts.text_outside), dtype=np.bool_)
    is_used[texts.text[used]] = True
    is_dealt = is_used[texts.text_outside]
    rows, text = texts.outside[is_dealt], texts.text_outside[is_dealt]
    unit = linked_units(text, group[rows], num_texts=_num_texts(texts))
    has_group = group[rows] >= 0
    groups, first = np.unique(group[rows][has_group], return_index=True)
    unit_of = unit[text[has_group][first]]
    sizes = np.bincount(unit[texts.text[used]])
    largest = unit_of[np.argmax(sizes[unit_of])] if len(groups) else -1
    return Grouping(
        unit=unit,
        num_groups=len(groups),
        num_joined=len(groups) - len(np.unique(unit_of)),
        num_missing=int(np.count_nonzero(~has_group)),
        num_in_test=len(np.intersect1d(groups, group[is_test])),
        largest=int(sizes[largest]) if len(groups) else 0,
        largest_names=tuple(sorted(names[n].as_py() for n in groups[unit_of == largest])),
    )


def _encoded(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """A number for each row, -1 where it has no group, and the groups by number."""
    encoded = column.dictionary_encode().unify_dictionaries()
    numbers = [chunk.indices.fill_null(-1).to_numpy().astype(np.int64) for chunk in encoded.chunks]
    return np.concatenate(numbers), encoded.chunk(0).dictionary


def _num_texts(texts: Texts) -> int:
    return int(texts.text_outside[-1]) + 1 if len(texts.text_outside) else 0


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
    split: Sides,
    labels: Ints,
    *,
    class_names: Sequence[str],
    quotas: Quotas,
    config: DataConfig,
) -> GroupStats:
    """What became of the groups.

    Args:
        grouping: of the rows.
        split: int8 [E]: of each entry that was dealt.
        labels: int64 [E].
        class_names: by label.
        quotas: rows of each class that test and val should have.
        config: whether there is an official test.

    Raises:
        DataError: a split that was dealt has no row.
    """
    asked, dealt = {}, {}
    for side, quota in zip((TEST, VAL), quotas, strict=True):
        if side == TEST and config.test == "official":
            continue
        counts = np.bincount(labels[split == side], minlength=len(class_names)).tolist()
        if not any(counts):
            few = (
                "1 group is" if grouping.num_groups == 1 else f"{grouping.num_groups:,} groups are"
            )
            raise DataError(
                f"{SPLITS[side]} must hold rows, but {few} too few for all splits",
                where=_where(config),
                remedy="give rows of more groups, or name a column with more of them",
            )
        asked[SPLITS[side]] = dict(zip(class_names, quota, strict=True))
        dealt[SPLITS[side]] = dict(zip(class_names, counts, strict=True))
    return GroupStats(
        num_groups=grouping.num_groups,
        num_joined=grouping.num_joined,
        num_missing=grouping.num_missing,
        num_in_test=grouping.num_in_test,
        largest=grouping.largest,
        asked=asked,
        dealt=dealt,
    )


def _where(config: DataConfig) -> str:
    return "data.source" if config.columns.group is None else "data.columns.group"
