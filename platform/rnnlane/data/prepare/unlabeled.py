"""Which texts without labels pretraining reads. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnlane.data.prepare.blocks import EMPTY_TEXT, NULL_TEXT, UNLABELED, Assignment
from rnnlane.data.prepare.keys import Keys, key_array, numbered
from rnnlane.data.prepare.row_selection import Selection
from rnnlane.data.prepare.splits import LEFT_OUT, TEST, TRAIN, VAL, Sides

UNLABELED_NULL, UNLABELED_EMPTY = f"unlabeled_{NULL_TEXT}", f"unlabeled_{EMPTY_TEXT}"
UNLABELED_HELD_OUT = "unlabeled_like_val_or_test"
UNLABELED_TWICE, UNLABELED_IN_TRAIN = "unlabeled_duplicates", "unlabeled_also_in_train"
TEST_ROWS = "rows_of_test"

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PretrainingRows:
    """Where labeled rows, and the M unlabeled ones behind them, go.

    Attributes:
        assignment: of all of them. No row of test has a split.
        dropped: rows that are left out, by reason: also those of test.
        merged: unlabeled rows that another one represents.
    """

    assignment: Assignment
    dropped: dict[str, int]
    merged: dict[str, int]


def add_unlabeled(selection: Selection, rows: pa.Table, unlabeled: pa.Table) -> PretrainingRows:
    """Takes the rows of test out, and adds the texts without labels that may be read.

    Texts that are equal to a row of val or test, or look to the model like one, are left out: what
    a model has read in pretraining is no longer new to it. So is a second copy of a text. The order
    of the rows does not matter.

    Args:
        selection: of the labeled rows.
        rows: the labeled rows, of ``ROWS_SCHEMA``.
        unlabeled: the others, of ``ROWS_SCHEMA``, [M].
    """
    labeled = selection.assignment
    is_test = labeled.split == TEST
    is_held_out = is_test | (labeled.split == VAL) | rows["official_test"].to_numpy()
    is_text = rows["dropped"].is_null().to_numpy()
    keys = numbered_together(rows["key"], unlabeled["key"])
    looks = numbered_together(rows["look"], unlabeled["look"])
    has_look = rows["look"].is_valid().to_numpy()

    reason = unlabeled["dropped"].to_numpy(zero_copy_only=False)
    is_null = reason == NULL_TEXT
    is_empty = (reason == EMPTY_TEXT) | (~is_null & unlabeled["look"].is_null().to_numpy())
    left = ~is_null & ~is_empty
    is_alike = np.isin(keys[1], keys[0][is_held_out & is_text])
    is_alike |= np.isin(looks[1], looks[0][is_held_out & has_look])
    is_alike &= left
    left &= ~is_alike
    in_train = left & np.isin(keys[1], keys[0][labeled.split == TRAIN])
    left &= ~in_train

    order = canonical_order(unlabeled)
    first = np.zeros(len(left), dtype=np.bool_)
    candidates = order[left[order]]
    first[candidates[np.unique(keys[1][candidates], return_index=True)[1]]] = True

    split = np.where(first, np.int8(UNLABELED), np.int8(LEFT_OUT))
    counts = {
        TEST_ROWS: is_test,
        UNLABELED_NULL: is_null,
        UNLABELED_EMPTY: is_empty,
        UNLABELED_HELD_OUT: is_alike,
    }
    merged = {UNLABELED_TWICE: left & ~first, UNLABELED_IN_TRAIN: in_train}
    without_test = np.where(is_test, np.int8(LEFT_OUT), labeled.split)
    return PretrainingRows(
        assignment=joined(replace(labeled, split=without_test), _unlabeled(split, order)),
        dropped=selection.dropped | _counted(counts),
        merged=selection.merged | _counted(merged),
    )


def _unlabeled(split: Sides, order: Ints) -> Assignment:
    """The assignment of unlabeled rows, which are numbered in the given order."""
    row_ids = np.full(len(split), -1, dtype=np.int64)
    members = order[split[order] == UNLABELED]
    row_ids[members] = np.arange(len(members))
    no_keys = np.zeros(len(split), dtype=np.uint64)
    return Assignment(split, row_ids, np.full(len(split), -1, dtype=np.int64), no_keys)


def numbered_together(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """A number for each key of two columns, equal for equal keys."""
    first = key_array(one)
    numbers = numbered(np.concatenate([first, key_array(other)]))
    return numbers[: len(first)], numbers[len(first) :]


def canonical_order(rows: pa.Table) -> Ints:
    """Positions of the rows in an order that their content alone decides."""
    keys: list[Keys] = [key_array(rows[name]) for name in ("exact", "key")]
    return np.lexsort([column for part in keys for column in (part[:, 1], part[:, 0])])


def joined(one: Assignment, other: Assignment) -> Assignment:
    """The assignment of the rows of both."""
    return Assignment(
        np.concatenate([one.split, other.split]),
        np.concatenate([one.row_ids, other.row_ids]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.row_keys, other.row_keys]),
    )


def _counted(reasons: dict[str, Bools]) -> dict[str, int]:
    counts = {reason: int(np.count_nonzero(rows)) for reason, rows in reasons.items()}
    return {reason: count for reason, count in counts.items() if count}
