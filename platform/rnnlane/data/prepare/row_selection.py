"""Which rows are used, with which label, in which split.

Rows are looked at in partitions, each by a task (``merging``); here, on the driver, is decided what
concerns all of them, of counts. Nothing here grows with the rows but with classes, groups, and
texts that have several labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.config.class_names import near_duplicates
from rnnlane.config.data import DataConfig
from rnnlane.data.prepare import merging
from rnnlane.data.prepare.blocks import EMPTY_TEXT
from rnnlane.data.prepare.described import Overview, Partition
from rnnlane.data.prepare.grouping import Grouping, check_largest, group_stats
from rnnlane.data.prepare.labels import counts_text, regroup_rare_classes, resolve_labels, too_small
from rnnlane.data.prepare.limits import check_dropped
from rnnlane.data.prepare.merging import PlacedCounts, TextCounts
from rnnlane.data.prepare.prepared import SPLITS, GroupStats
from rnnlane.data.prepare.splits import (
    TEST,
    TRAIN,
    VAL,
    Alone,
    Dealt,
    Sides,
    deal,
    deal_units,
    quotas_of,
)
from rnnlane.errors import DataError

UNKNOWN_LABEL, DUPLICATE_ID = "unknown_label", "duplicate_id"
CONFLICTING_LABEL, RARE_CLASS = "conflicting_label", "rare_class"
ALIKE_TRAIN, ALIKE_VAL = "train_like_val_or_test", "val_like_test"

Ints = npt.NDArray[np.int64]
# Runs a function once for each list of arguments, in several processes: what each run returned
# first stays where it is and can be an argument of later ones; what it returned second comes back.
Spread = Callable[
    [Callable[..., tuple[Any, Any]], Iterable[Sequence[Any]]], tuple[list[Any], list[Any]]
]


@dataclass(frozen=True)
class Selection:
    """What became of the rows.

    Attributes:
        placed: of each partition the :class:`placed.Placed`, where it is.
        numbers_before: int64 [P, S]: rows of each split in the partitions before each.
        class_names: by label.
        dropped: rows left out, by reason; only reasons that occurred.
        merged: rows that another one represents: ``duplicates``, of the same text and label;
            ``train_also_in_test``, whose text is in the official test.
        conflicts: rows by class whose text has other labels as well, duplicates merged.
        num_conflicts: the texts of these rows.
        warnings: what a person should know of the labels, a sentence each.
        groups: what became of the groups; None where rows have none.
    """

    placed: list[Any]
    numbers_before: Ints
    class_names: tuple[str, ...]
    dropped: dict[str, int]
    merged: dict[str, int]
    conflicts: dict[str, int]
    num_conflicts: int
    warnings: tuple[str, ...] = ()
    groups: GroupStats | None = None


def select_rows(
    tables: Sequence[Any],
    overview: Overview,
    *,
    config: DataConfig,
    partitions: Sequence[Partition],
    spread: Spread,
) -> Selection:
    """Drops unusable rows, names the classes and assigns the remaining rows to the splits.

    Neither the order of the rows nor their partitioning into tables matters, nor the number of
    partitions. The text settings decide only what is taken out of the splits at the end: rows that
    they leave empty, and rows of train and val that they make equal to rows of a later split.

    Args:
        tables: what ``describe`` returned of all rows, where they are.
        overview: the rows in numbers.
        config: the classes, what to do with other labels, conflicts and rare classes, the shares.
        partitions: into which the rows are cut.
        spread: runs what looks at rows.

    Raises:
        DataError: no row is left or too many are dropped, a label is not among the classes or is
            no class, a class is too small, a text has several labels and may not, or a group is
            too large or groups are too few to be split.
    """
    dropped = Counter(overview.dropped)
    _check_some(overview.labels.total(), dropped)
    # Before the classes: what is wrong with them may come of the rows that are missing.
    check_dropped(dropped, num_rows=overview.num_rows, config=config)
    merged = _merged(tables, overview, dropped, config, partitions, spread)
    texts = merged.regrouped(config, spread)
    conflicts = _checked_conflicts(texts, config)
    split, groups, num_empty = _assigned(texts, config, spread)
    dropped[RARE_CLASS] = merged.counts.num_rows - texts.counts.num_rows
    if config.conflicts == "drop":
        dropped[CONFLICTING_LABEL] = int(texts.counts.shared.sum())
    dropped[EMPTY_TEXT] += num_empty
    check_dropped(dropped, num_rows=overview.num_rows, config=config)
    lost, _ = spread(merging.lose_alike, [(one, *texts.rows, *split) for one in partitions])
    placed, numbers = spread(
        merging.place,
        [
            (one, texts.class_names, rows, sides, *lost)
            for one, rows, sides in zip(partitions, texts.rows, split, strict=True)
        ],
    )
    selection = Selection(
        placed=placed,
        numbers_before=numbers_before([one.of_class.sum(axis=1) for one in numbers]),
        class_names=texts.class_names,
        dropped=_nonzero(dropped + _lost(numbers)),
        merged={
            "duplicates": texts.counts.num_duplicates,
            "train_also_in_test": texts.counts.num_in_test,
        },
        conflicts=conflicts,
        num_conflicts=texts.counts.num_shared,
        warnings=(*near_duplicates(texts.class_names), *texts.warnings),
        groups=groups,
    )
    _check_splits(selection, np.sum([one.of_class for one in numbers], axis=0))
    return selection


def _merged(
    tables: Sequence[Any],
    overview: Overview,
    dropped: Counter[str],
    config: DataConfig,
    partitions: Sequence[Partition],
    spread: Spread,
) -> _Texts:
    """The rows that have a class and do not repeat an id; the others are counted in ``dropped``."""
    class_names = resolve_labels(overview.labels, config)
    num_labeled = sum(overview.labels[name] for name in class_names)
    dropped[UNKNOWN_LABEL] = overview.labels.total() - num_labeled
    repeated: list[Any] = []
    if overview.num_with_id:
        every = (class_names, *tables)
        repeated, _ = spread(merging.repeated_ids, [(one, *every) for one in partitions])
    every = (class_names, config.test == "official", len(tables), *tables, *repeated)
    rows, told = spread(merging.merge, [(one, *every) for one in partitions])
    counts = reduce(add, told)
    dropped[DUPLICATE_ID] = counts.num_repeated
    _check_some(counts.num_rows, dropped)
    # Before the sizes of classes, which these rows are missing from.
    check_dropped(dropped, num_rows=overview.num_rows, config=config)
    return _Texts(rows, counts, class_names)


def numbers_before(sizes: Sequence[Sequence[int] | Ints]) -> Ints:
    """The rows of each split in the partitions before each: int64 [P, S].

    Args:
        sizes: [P, S]: those of each partition.
    """
    of_part = np.array(sizes, dtype=np.int64)
    before: Ints = np.cumsum(of_part, axis=0) - of_part
    return before


def _lost(told: Sequence[PlacedCounts]) -> Counter[str]:
    lost = np.sum([one.lost for one in told], axis=0)
    return Counter({ALIKE_TRAIN: int(lost[TRAIN]), ALIKE_VAL: int(lost[VAL])})


def _nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(counts.items()) if count}


def _check_some(num_rows: int, dropped: Counter[str]) -> None:
    if num_rows:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()) if count)
    raise DataError(
        f"there must be rows to learn from, but none is left ({reasons or 'the source is empty'})",
        where="data.source",
        remedy="check data.source.path and data.columns",
    )


@dataclass(frozen=True)
class _Texts:
    """The merged rows of all partitions.

    Attributes:
        rows: of each partition the :class:`merging.Rows`, where they are.
        counts: of all.
        class_names: by label.
        warnings: what became of rare classes.
    """

    rows: list[Any]
    counts: TextCounts
    class_names: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def regrouped(self, config: DataConfig, spread: Spread) -> _Texts:
        """With rare classes dropped or merged; each class is large enough for every split."""
        if config.test == "official" and not self.counts.num_test:
            raise _no_test()
        needed = 2 if config.test == "official" else 3
        texts, sizes = self, self.sizes(config)
        regrouping = regroup_rare_classes(sizes, needed=needed, config=config)
        if regrouping is not None:
            class_names, new_labels = regrouping.class_names, regrouping.new_labels
            rows, told = spread(
                merging.relabel, [(one, new_labels, len(class_names)) for one in self.rows]
            )
            texts = _Texts(rows, reduce(add, told), class_names, (regrouping.warning,))
            sizes = texts.sizes(config)
        _check_class_count(texts.counts.rows, texts.class_names)
        if any(size < needed for size in sizes.values()):
            raise too_small(sizes, needed=needed, rare_classes=config.rare_classes)
        return texts

    def sizes(self, config: DataConfig) -> dict[str, int]:
        """Different texts of each class that can be dealt out."""
        counts = self.counts
        sizes = counts.entries - counts.shared if config.conflicts == "drop" else counts.entries
        return dict(zip(self.class_names, sizes.tolist(), strict=True))


def _checked_conflicts(texts: _Texts, config: DataConfig) -> dict[str, int]:
    """How many different texts of each class have other labels as well."""
    num_texts = texts.counts.num_shared
    by_class = _nonzero(dict(zip(texts.class_names, texts.counts.shared.tolist(), strict=True)))
    if num_texts and config.conflicts == "error":
        several = "1 text has" if num_texts == 1 else f"{num_texts:,} texts have"
        raise DataError(
            f"a text must have one label, but {several} several (rows by class: "
            f"{counts_text(by_class)})",
            where="data.conflicts",
            remedy="correct the labels, or set data.conflicts: keep (all of these rows, on one "
            "side of the split) or drop (none of them)",
        )
    return by_class


def _assigned(
    texts: _Texts, config: DataConfig, spread: Spread
) -> tuple[list[Any], GroupStats | None, int]:
    """The side of each row, where it is; what became of groups; and how many rows are empty."""
    keep = config.conflicts == "keep"
    sizes = list(texts.sizes(config).values())
    quotas = quotas_of(
        sizes, test_share=None if config.test == "official" else config.test, val_share=config.val
    )
    grouping = _grouping(texts, keep, config, spread)
    sides: Sequence[Sides | None] = [None] * len(texts.rows)
    asked, held = quotas, np.zeros((len(sizes), 3), dtype=np.int64)
    if grouping is not None:
        num_held_out = sum(map(sum, quotas))
        check_largest(grouping, num_rows=sum(sizes), num_held_out=num_held_out, config=config)
        of_unit, asked = deal_units(grouping.units, quotas, sizes=sizes)
        sides = grouping.sides(of_unit)
        held = np.array(
            [
                grouping.units.of_class(of_unit == side, num_classes=len(sizes))
                for side in (TRAIN, VAL, TEST)
            ]
        ).T
    one_by_one = [(rows, keep, side) for rows, side in zip(texts.rows, sides, strict=True)]
    _, parts = spread(merging.count_alone, [(*one, len(sizes)) for one in one_by_one])
    alone = Alone.concat(parts)
    dealt = deal(alone, asked, sizes=sizes, held=held)
    cut = dealt.cut(parts)
    split, num_empty = spread(
        merging.assign, [(*one, of_part) for one, of_part in zip(one_by_one, cut, strict=True)]
    )
    if grouping is None:
        return split, None, sum(num_empty)
    on_side = _rows_of_sides(alone, dealt, held)
    stats = group_stats(
        grouping, on_side, class_names=texts.class_names, quotas=quotas, config=config
    )
    return split, stats, sum(num_empty)


def _rows_of_sides(alone: Alone, dealt: Dealt, held: Ints) -> dict[int, Ints]:
    """Rows of each class that val and test were dealt."""
    of_side = {}
    for side, singles in ((VAL, dealt.val), (TEST, dealt.test)):
        shared = alone.labels[dealt.shared[alone.shared] == side]
        of_side[side] = held[:, side] + singles + np.bincount(shared, minlength=len(singles))
    return of_side


def _grouping(texts: _Texts, keep: bool, config: DataConfig, spread: Spread) -> Grouping | None:
    """Finds out which texts are dealt together; None of a source without groups."""
    if not texts.counts.num_with_group:
        if config.columns.group is None:
            return None
        raise DataError(
            f"rows must have a group, but none of {texts.counts.num_rows:,} has one",
            where="data.columns.group",
            remedy="name the column that holds the groups, or leave it out",
        )
    _, told = spread(merging.count_groups, [(rows, keep) for rows in texts.rows])
    return Grouping.of(told, num_classes=len(texts.class_names))


def _no_test() -> DataError:
    return DataError(
        "the official test must hold rows, but there is none",
        where="data.test",
        remedy="check the test rows, or hold out a share of all rows: test: 0.2",
    )


def _check_class_count(rows: Ints, class_names: Sequence[str]) -> None:
    present = [class_names[label] for label in np.flatnonzero(rows).tolist()]
    if len(present) < 2:
        actual = f"all {rows.sum()} are {present[0]!r}" if present else "there are none"
        raise DataError(
            f"the rows must hold at least two classes, but {actual}",
            where="data.source",
            remedy="check the label column, data.classes and data.rare_classes",
        )


def _check_splits(selection: Selection, of_class: Ints) -> None:
    """Train must hold every class, val and test any row; an official test may lack classes."""
    alike = sum(selection.dropped.get(why, 0) for why in (ALIKE_TRAIN, ALIKE_VAL))
    empty = selection.dropped.get(EMPTY_TEXT, 0)
    for side, name in enumerate(SPLITS):
        rows = of_class[side].tolist()
        missing = [n for n, count in zip(selection.class_names, rows, strict=True) if not count]
        if any(rows) and (side != TRAIN or not missing):
            continue
        what = f"row of class {', '.join(map(repr, missing[:10]))}" if side == TRAIN else "row"
        raise DataError(
            f"{name} must hold {'every class' if side == TRAIN else 'rows'}, but no {what} is "
            f"left: {alike} rows look to the model like rows of a later split, {empty} are empty",
            where="text",
            remedy="keep more of each text: raise text.max_length, or use another text.tokenizer "
            "or fewer text.stop_words",
        )
