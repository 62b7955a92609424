"""Which rows are used, with which label, in which split. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnlane.config.class_names import near_duplicates
from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.blocks import EMPTY_TEXT, Assignment
from rnnlane.data.prepare.grouping import Grouping, check_largest, group_stats, grouping_of
from rnnlane.data.prepare.keys import key_array, row_keys
from rnnlane.data.prepare.labels import counts_text, regroup_rare_classes, resolve_labels, too_small
from rnnlane.data.prepare.limits import check_dropped
from rnnlane.data.prepare.prepared import SPLITS, GroupStats
from rnnlane.data.prepare.splits import (
    ALIKE,
    EMPTY,
    LEFT_OUT,
    TEST,
    TRAIN,
    VAL,
    Sides,
    Texts,
    deal,
    merge_texts,
    quotas_of,
    row_numbers,
    separate,
)
from rnnlane.errors import DataError

UNKNOWN_LABEL, DUPLICATE_ID = "unknown_label", "duplicate_id"
CONFLICTING_LABEL, RARE_CLASS = "conflicting_label", "rare_class"
ALIKE_TRAIN, ALIKE_VAL = "train_like_val_or_test", "val_like_test"

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """What became of N rows.

    Attributes:
        split: int8 [N]: index in ``SPLITS``, or why a row is left out; see ``splits``.
        labels: int64 [N], -1 for rows without a split.
        order: int64 [M]: the rows that have a split, and maybe others, in canonical order.
        class_names: by label.
        dropped: rows left out, by reason; only reasons that occurred.
        merged: rows that another one represents: ``duplicates``, of the same text and label;
            ``train_also_in_test``, whose text is in the official test.
        conflicts: rows by class whose text has other labels as well, duplicates merged.
        num_conflicts: the texts of these rows.
        row_keys: uint64 [N]: names of the rows that have a split, 0 for others; see
            :func:`keys.row_keys`.
        warnings: what a person should know of the labels, a sentence each.
        groups: what became of the groups; None where rows have none.
    """

    split: Sides
    labels: Ints
    order: Ints
    class_names: tuple[str, ...]
    dropped: dict[str, int]
    merged: dict[str, int]
    conflicts: dict[str, int]
    num_conflicts: int
    row_keys: npt.NDArray[np.uint64]
    warnings: tuple[str, ...] = ()
    groups: GroupStats | None = None

    @property
    def is_used(self) -> Bools:
        """Which rows have a split: bool [N]."""
        is_used: Bools = self.split >= 0
        return is_used

    @property
    def assignment(self) -> Assignment:
        """Split, row id, label and key of all N rows."""
        row_ids = row_numbers(self.split, self.order)
        return Assignment(self.split, row_ids, self.labels, self.row_keys)


def _counted(selection: Selection, before: Sides) -> Selection:
    """With the rows that lost their split among the dropped."""
    lost = Counter(selection.dropped)
    new = (before >= 0) & (selection.split < 0)
    lost[EMPTY_TEXT] += int(np.count_nonzero(new & (selection.split == EMPTY)))
    is_alike = new & (selection.split == ALIKE)
    lost[ALIKE_TRAIN] += int(np.count_nonzero(is_alike & (before == TRAIN)))
    lost[ALIKE_VAL] += int(np.count_nonzero(is_alike & (before == VAL)))
    return replace(selection, dropped=_nonzero(lost))


def select_rows(rows: pa.Table, *, config: DataConfig, seed: int) -> Selection:
    """Drops unusable rows, names the classes and assigns the remaining rows to the splits.

    Neither the order of the rows nor their partitioning into tables matters. The text settings
    decide only what is taken out of the splits at the end: rows that they leave empty, and rows of
    train and val that they make equal to rows of a later split.

    Args:
        rows: the output of ``describe_rows`` for all tables, [N].
        config: the classes, what to do with other labels, conflicts and rare classes, the shares.
        seed: of the splits.

    Raises:
        DataError: no row is left or too many are dropped, a label is not among the classes or is
            no class, a class is too small, a text has several labels and may not, or a group is
            too large or groups are too few to be split.
    """
    dropped = Counter(rows["dropped"].drop_null().to_pylist())
    kept = np.flatnonzero(rows["dropped"].is_null().to_numpy())
    _check_some(kept, dropped)
    # Before the classes: what is wrong with them may come of the rows that are missing.
    check_dropped(dropped, num_rows=rows.num_rows, config=config)
    class_names, labels = resolve_labels(rows["label"].take(pa.array(kept)), config)
    dropped[UNKNOWN_LABEL] = int(np.count_nonzero(labels < 0))
    kept, labels = kept[labels >= 0], labels[labels >= 0]
    unique = _first_of_each_id(rows.take(pa.array(kept)))
    dropped[DUPLICATE_ID] = len(kept) - len(unique)
    kept, labels = kept[unique], labels[unique]
    _check_some(kept, dropped)
    chosen = _choose_texts(rows.take(pa.array(kept)), labels, class_names, config, seed=seed)
    split = np.full(rows.num_rows, LEFT_OUT, dtype=np.int8)
    all_labels = np.full(rows.num_rows, -1, dtype=np.int64)
    split[kept], all_labels[kept] = chosen.split, chosen.labels
    selection = replace(
        chosen,
        split=split,
        labels=all_labels,
        order=kept[chosen.order],
        dropped=_nonzero(dropped + Counter(chosen.dropped)),
    )
    selection = _without_empty(selection, rows["look"].is_null().to_numpy())
    check_dropped(selection.dropped, num_rows=rows.num_rows, config=config)
    selection = _separated(selection, rows["look"])
    _check_splits(selection)
    return replace(selection, row_keys=_row_keys(selection, rows["exact"]))


def _without_empty(selection: Selection, is_empty: Bools) -> Selection:
    split = np.where(selection.is_used & is_empty, np.int8(EMPTY), selection.split)
    return _counted(replace(selection, split=split), selection.split)


def _separated(selection: Selection, looks: pa.ChunkedArray) -> Selection:
    """Without the rows of train and val that look to the model like a row of a later split.

    Texts that differ in a word without an id of its own are not alike: a name that the vocabulary
    lacks makes a text a new one, although the model cannot read it.
    """
    split = separate(selection.split, key_array(looks))
    return _counted(replace(selection, split=split), selection.split)


def _row_keys(selection: Selection, exact: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    used = np.flatnonzero(selection.is_used)
    keys = np.zeros(len(selection.split), dtype=np.uint64)
    keys[used] = row_keys(key_array(exact)[used], selection.labels[used], selection.class_names)
    return keys


def _nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(counts.items()) if count}


def _check_some(kept: Ints, dropped: Counter[str]) -> None:
    if len(kept):
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()) if count)
    raise DataError(
        f"there must be rows to learn from, but none is left ({reasons or 'the source is empty'})",
        where="data.source",
        remedy="check data.source.path and data.columns",
    )


def _first_of_each_id(rows: pa.Table) -> Ints:
    """Positions of the rows to keep: of those that share an id, the text with the smallest key.

    Train and official test may number their rows independently, so an id counts within one. Rows
    with the same id and text are all kept: they are merged later, or their labels are in conflict.
    """
    positions = np.arange(rows.num_rows)
    has_id = rows["id"].is_valid().to_numpy()
    if not has_id.any():
        return positions
    sortable = pa.table(
        {
            "official_test": rows["official_test"],
            "id": rows["id"],
            "key": rows["key"],
            "position": pa.array(positions),
        }
    ).filter(pa.array(has_id))
    ordered = sortable.sort_by([(name, "ascending") for name in sortable.column_names])
    official, ids, keys, at = (column.combine_chunks() for column in ordered.columns)
    same_id = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    same_side = pc.equal(official[1:], official[:-1]).to_numpy(zero_copy_only=False)
    is_first = np.concatenate([[True], ~(same_id & same_side)])
    first = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
    repeated = pc.not_equal(keys, keys.take(pa.array(first))).to_numpy(zero_copy_only=False)
    keep = np.ones(rows.num_rows, dtype=np.bool_)
    keep[at.to_numpy()[repeated]] = False
    return np.flatnonzero(keep)


def _choose_texts(
    rows: pa.Table, labels: Ints, class_names: tuple[str, ...], config: DataConfig, *, seed: int
) -> Selection:
    """Merges rows of the same text, and deals out the rest; ``rows`` are all usable, [N]."""
    test_share = None if config.test == "official" else config.test
    is_test = rows["official_test"].to_numpy() & (test_share is None)
    if test_share is None and not is_test.any():
        raise _no_test()
    keys, exact = (key_array(rows[name]) for name in ("key", "exact"))
    texts = merge_texts(keys, exact, labels, is_test=is_test, seed=seed)
    needed = 3 if test_share is not None else 2
    sizes = _class_sizes(texts, class_names, config)
    regrouping = regroup_rare_classes(sizes, needed=needed, config=config)
    if regrouping is not None:
        class_names, labels = regrouping.class_names, regrouping.new_labels[labels]
        texts = merge_texts(keys, exact, labels, is_test=is_test, seed=seed)
        sizes = _class_sizes(texts, class_names, config)
    _check_class_count(labels, class_names)
    if any(size < needed for size in sizes.values()):
        raise too_small(sizes, needed=needed, rare_classes=config.rare_classes)
    conflicting, conflicts, num_conflicts = _conflicts(texts, class_names, config)
    used = ~conflicting | (config.conflicts == "keep")
    split = np.full(rows.num_rows, LEFT_OUT, dtype=np.int8)
    split[is_test & (labels >= 0)] = TEST
    grouping = grouping_of(rows["group"], texts, used, is_test=is_test, config=config)
    split[texts.rows[used]], groups = _dealt(texts, used, grouping, class_names, config)
    return Selection(
        split=split,
        labels=labels,
        order=texts.order,
        class_names=class_names,
        dropped={
            RARE_CLASS: int(np.count_nonzero(labels < 0)),
            CONFLICTING_LABEL: int(np.count_nonzero(~used)),
        },
        merged={"duplicates": texts.num_duplicates, "train_also_in_test": texts.num_in_test},
        conflicts=conflicts,
        num_conflicts=num_conflicts,
        row_keys=np.zeros(0, dtype=np.uint64),
        warnings=(
            *near_duplicates(class_names),
            *(() if regrouping is None else (regrouping.warning,)),
        ),
        groups=groups,
    )


def _dealt(
    texts: Texts,
    used: Bools,
    grouping: Grouping | None,
    class_names: Sequence[str],
    config: DataConfig,
) -> tuple[Sides, GroupStats | None]:
    """The side of each entry that is used, and what became of the groups."""
    text, labels = texts.text[used], texts.labels[used]
    quotas = quotas_of(
        labels,
        num_classes=len(class_names),
        test_share=None if config.test == "official" else config.test,
        val_share=config.val,
    )
    if grouping is None:
        return deal(text, labels, quotas), None
    num_held_out = sum(map(sum, quotas))
    check_largest(grouping, num_rows=len(labels), num_held_out=num_held_out, config=config)
    split = deal(text, labels, quotas, unit=grouping.unit)
    stats = group_stats(
        grouping, split, labels, class_names=class_names, quotas=quotas, config=config
    )
    return split, stats


def _class_sizes(texts: Texts, class_names: Sequence[str], config: DataConfig) -> dict[str, int]:
    """Different texts of each class that can be dealt out."""
    labels = texts.labels[~texts.conflicting()] if config.conflicts == "drop" else texts.labels
    sizes = np.bincount(labels, minlength=len(class_names)).tolist()
    return dict(zip(class_names, sizes, strict=True))


def _conflicts(
    texts: Texts, class_names: Sequence[str], config: DataConfig
) -> tuple[Bools, dict[str, int], int]:
    """Which entries have a text with other labels, how many by class, and how many texts."""
    conflicting = texts.conflicting()
    counts = np.bincount(texts.labels[conflicting], minlength=len(class_names)).tolist()
    by_class = _nonzero(dict(zip(class_names, counts, strict=True)))
    num_texts = len(np.unique(texts.text[conflicting]))
    if num_texts and config.conflicts == "error":
        several = "1 text has" if num_texts == 1 else f"{num_texts:,} texts have"
        raise DataError(
            f"a text must have one label, but {several} several (rows by class: "
            f"{counts_text(by_class)})",
            where="data.conflicts",
            remedy="correct the labels, or set data.conflicts: keep (all of these rows, on one "
            "side of the split) or drop (none of them)",
        )
    return conflicting, by_class, num_texts


def _no_test() -> DataError:
    return DataError(
        "the official test must hold rows, but there is none",
        where="data.test",
        remedy="check the test rows, or hold out a share of all rows: test: 0.2",
    )


def _check_class_count(labels: Ints, class_names: Sequence[str]) -> None:
    used = labels[labels >= 0]
    present = [class_names[label] for label in np.unique(used)]
    if len(present) < 2:
        actual = f"all {len(used)} are {present[0]!r}" if present else "there are none"
        raise DataError(
            f"the rows must hold at least two classes, but {actual}",
            where="data.source",
            remedy="check the label column, data.classes and data.rare_classes",
        )


def _check_splits(selection: Selection) -> None:
    """Train must hold every class, val and test any row; an official test may lack classes."""
    alike = sum(selection.dropped.get(why, 0) for why in (ALIKE_TRAIN, ALIKE_VAL))
    empty = selection.dropped.get(EMPTY_TEXT, 0)
    for side, name in enumerate(SPLITS):
        present = set(selection.labels[selection.split == side].tolist())
        missing = [n for label, n in enumerate(selection.class_names) if label not in present]
        if present and (side != TRAIN or not missing):
            continue
        rows = f"row of class {', '.join(map(repr, missing[:10]))}" if side == TRAIN else "row"
        raise DataError(
            f"{name} must hold {'every class' if side == TRAIN else 'rows'}, but no {rows} is "
            f"left: {alike} rows look to the model like rows of a later split, {empty} are empty",
            where="text",
            remedy="keep more of each text: raise text.max_length, or use another text.tokenizer "
            "or fewer text.stop_words",
        )
