"""Which rows are used, with which label: drops, class names, repeated ids. Runs on the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnlane.config.experiment import DataConfig
from rnnlane.data.prepare.blocks import Assignment
from rnnlane.data.prepare.splits import MERGED, assign_splits, key_array
from rnnlane.errors import DataError

UNKNOWN_LABEL, DUPLICATE_ID = "unknown_label", "duplicate_id"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """What became of N rows.

    Attributes:
        assignment: for all N.
        class_names: by label.
        dropped: rows left out, by reason; only reasons that occurred.
        merged: see ``SplitAssignment.merged``.
    """

    assignment: Assignment
    class_names: tuple[str, ...]
    dropped: dict[str, int]
    merged: dict[str, int]


def select_rows(rows: pa.Table, *, config: DataConfig, seed: int) -> Selection:
    """Drops unusable rows, names the classes and assigns the remaining rows to the splits.

    Neither the order of the rows nor their partitioning into tables matters.

    Args:
        rows: the output of ``describe_rows`` for all tables, [N].
        config: the classes, what to do with other labels, and the shares.
        seed: of the splits.

    Raises:
        DataError: no row is left, a label is not among the classes, or a class is too small.
    """
    dropped = Counter(rows["dropped"].drop_null().to_pylist())
    kept = np.flatnonzero(rows["dropped"].is_null().to_numpy())
    _check_some(kept, dropped)
    class_names, labels = _resolve_labels(rows["label"].take(pa.array(kept)), config)
    dropped[UNKNOWN_LABEL] = int(np.count_nonzero(labels < 0))
    kept, labels = kept[labels >= 0], labels[labels >= 0]
    unique = _first_of_each_id(rows.take(pa.array(kept)), labels)
    dropped[DUPLICATE_ID] = len(kept) - len(unique)
    kept, labels = kept[unique], labels[unique]
    _check_some(kept, dropped)
    official = rows["official_test"].to_numpy()[kept] if config.test == "official" else None
    assigned = assign_splits(
        key_array(rows["key"].take(pa.array(kept)).to_pylist()),
        labels,
        official_test=official,
        config=config,
        seed=seed,
        class_names=class_names,
    )
    split = np.full(rows.num_rows, MERGED, dtype=np.int8)
    row_ids = np.full(rows.num_rows, -1, dtype=np.int64)
    all_labels = np.full(rows.num_rows, -1, dtype=np.int64)
    split[kept], row_ids[kept], all_labels[kept] = (
        assigned.split,
        assigned.row_ids,
        assigned.labels,
    )
    return Selection(
        assignment=Assignment(split=split, row_ids=row_ids, labels=all_labels),
        class_names=class_names,
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
        merged=assigned.merged,
    )


def _check_some(kept: Ints, dropped: Counter[str]) -> None:
    if len(kept):
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()) if count)
    raise DataError(
        f"there must be rows to learn from, but none is left ({reasons or 'the source is empty'})",
        where="data.source",
        remedy="check data.source.path and data.columns",
    )


def _resolve_labels(names: pa.ChunkedArray, config: DataConfig) -> tuple[tuple[str, ...], Ints]:
    """The class names by label, and the label of each row; -1 where the row is dropped."""
    counts = {entry["values"]: entry["counts"] for entry in names.value_counts().to_pylist()}
    class_names = config.classes or tuple(sorted(counts, key=_numbers_first))
    unknown = sorted(set(counts) - set(class_names), key=lambda name: (-counts[name], name))
    if unknown and config.unknown_label == "error":
        raise _unknown_label(unknown, counts, class_names)
    labels = pc.fill_null(pc.index_in(names, value_set=pa.array(class_names, pa.string())), -1)
    return class_names, labels.to_numpy().astype(np.int64)


def _numbers_first(name: str) -> tuple[bool, int, str]:
    """Sorts "10" after "9" and numbers before words."""
    is_number = name.removeprefix("-").isdecimal()
    return not is_number, int(name) if is_number else 0, name


def _unknown_label(
    unknown: Sequence[str], counts: dict[str, int], class_names: Sequence[str]
) -> DataError:
    shown = ", ".join(f"{name!r} ({counts[name]} rows)" for name in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return DataError(
        f"labels must be among {', '.join(map(repr, class_names))}, but got {shown}{more}",
        where="data.classes",
        remedy="add them to data.classes, or set data.unknown_label: drop",
    )


def _first_of_each_id(rows: pa.Table, labels: Ints) -> Ints:
    """Positions of the rows to keep: of those that share an id, the one with the smallest key.

    Train and official test may number their rows independently, so an id counts within one.
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
            "label": pa.array(labels),
            "position": pa.array(positions),
        }
    ).filter(pa.array(has_id))
    ordered = sortable.sort_by([(name, "ascending") for name in sortable.column_names])
    ids, official = ordered["id"].combine_chunks(), ordered["official_test"].combine_chunks()
    same_id = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    same_side = pc.equal(official[1:], official[:-1]).to_numpy(zero_copy_only=False)
    repeated = np.concatenate([[False], same_id & same_side])
    keep = np.ones(rows.num_rows, dtype=np.bool_)
    keep[ordered["position"].to_numpy()[repeated]] = False
    return np.flatnonzero(keep)
