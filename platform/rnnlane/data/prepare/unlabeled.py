"""Which texts without labels are read; in partitions, as ``row_selection`` does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnlane.data.prepare.blocks import EMPTY_TEXT, NULL_TEXT, UNLABELED
from rnnlane.data.prepare.described import Overview, Partition, text_order
from rnnlane.data.prepare.keys import Keys, key_array, numbered
from rnnlane.data.prepare.placed import Placed
from rnnlane.data.prepare.row_selection import Selection, Spread, numbers_before
from rnnlane.data.prepare.splits import LEFT_OUT, TEST, TRAIN, VAL, Sides

UNLABELED_NULL, UNLABELED_EMPTY = f"unlabeled_{NULL_TEXT}", f"unlabeled_{EMPTY_TEXT}"
UNLABELED_HELD_OUT = "unlabeled_like_val_or_test"
UNLABELED_TWICE, UNLABELED_IN_TRAIN = "unlabeled_duplicates", "unlabeled_also_in_train"
TEST_ROWS = "rows_of_test"

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def add_unlabeled(
    selection: Selection,
    labeled: Sequence[Any],
    unlabeled: Sequence[Any],
    overview: Overview,
    *,
    reads_test: bool,
    partitions: Sequence[Partition],
    spread: Spread,
) -> Selection:
    """Adds the texts without labels that may be read.

    Texts that are equal to a row of val or test, or look to the model like one, are left out: what
    a model has read is no longer new to it. So is a second copy of a text. The order of the rows
    does not matter.

    Args:
        selection: of the labeled rows.
        labeled: what ``describe`` returned of the labeled rows, where they are.
        unlabeled: of the others, whose places follow.
        overview: of the others.
        reads_test: whether the rows of test stay.
        partitions: those of the selection.
        spread: runs what looks at rows.
    """
    found, _ = spread(
        find_candidates,
        [
            (one, placed, len(labeled), *labeled, *unlabeled)
            for one, placed in zip(partitions, selection.placed, strict=True)
        ],
    )
    held, _ = spread(find_held_looks, [(one, *found) for one in partitions])
    placed, told = spread(
        choose,
        [
            (one, reads_test, candidates, placed, *held)
            for one, candidates, placed in zip(partitions, found, selection.placed, strict=True)
        ],
    )
    counts = Counter[str]()
    for one in told:
        counts.update(one.reasons)
    counts[UNLABELED_NULL] += overview.dropped[NULL_TEXT]
    counts[UNLABELED_EMPTY] += overview.dropped[EMPTY_TEXT] + overview.num_without_look
    merged = (UNLABELED_TWICE, UNLABELED_IN_TRAIN)
    return replace(
        selection,
        placed=placed,
        numbers_before=numbers_before([one.num_rows for one in told]),
        dropped=selection.dropped | {k: n for k, n in counts.items() if n and k not in merged},
        merged=selection.merged | {k: counts[k] for k in merged if counts[k]},
    )


@dataclass(frozen=True)
class Candidates:
    """The texts without labels of a partition that have something to see, in canonical order.

    Attributes:
        place: int64 [N].
        text: int64 [N]: number of the text.
        look: uint64 [N, 2].
        is_held_out: bool [N]: whether a labeled row of val or test, or of the official test, has
            the same text.
        in_train: bool [N]: whether a row of train has.
        held_looks: uint64 [H, 2]: what the model sees of the partition's held-out rows.
    """

    place: Ints
    text: Ints
    look: Keys
    is_held_out: Bools
    in_train: Bools
    held_looks: Keys


def find_candidates(
    partition: Partition, placed: Placed, num_tables: int, *tables: pa.Table
) -> tuple[Candidates, None]:
    """Looks for the texts of a partition among its labeled rows.

    Args:
        partition: which.
        placed: its labeled rows.
        num_tables: how many of the tables are of labeled rows.
        tables: all, of ``DESCRIBED_SCHEMA``.
    """
    with_label = partition.rows_of(tables[:num_tables])
    without = partition.rows_of(tables[num_tables:])
    without = without.filter(without["look"].is_valid()).combine_chunks()
    split = _split_of(placed, with_label["place"].to_numpy())
    is_held_out = (split == TEST) | (split == VAL) | with_label["official_test"].to_numpy()
    keys = key_array(without["key"])
    known = key_array(with_label["key"])
    numbers = numbered(np.concatenate([known, keys]))
    of_known, of_text = numbers[: len(known)], numbers[len(known) :]
    place = without["place"].to_numpy()
    exact, no_label = key_array(without["exact"]), np.zeros_like(place)
    order, text = text_order(without["hash"].to_numpy(), keys, exact, no_label, place)
    has_look = with_label["look"].is_valid().to_numpy()
    candidates = Candidates(
        place=place[order],
        text=text,
        look=key_array(without["look"])[order],
        is_held_out=np.isin(of_text, of_known[is_held_out])[order],
        in_train=np.isin(of_text, of_known[split == TRAIN])[order],
        held_looks=key_array(with_label["look"])[is_held_out & has_look],
    )
    return candidates, None


def _split_of(placed: Placed, places: Ints) -> Sides:
    split = np.full(len(places), LEFT_OUT, dtype=np.int8)
    if len(placed.place):
        at = np.minimum(np.searchsorted(placed.place, places), len(placed.place) - 1)
        is_placed = placed.place[at] == places
        split[is_placed] = placed.split[at[is_placed]]
    return split


def find_held_looks(looks: Partition, *parts: Candidates) -> tuple[list[Ints], None]:
    """The positions in each partition of texts that look like a row of val or test.

    Args:
        looks: which looks.
        parts: of all partitions.
    """
    held = np.concatenate([part.held_looks[looks.holds(part.held_looks[:, 0])] for part in parts])
    own = [np.flatnonzero(looks.holds(part.look[:, 0])) for part in parts]
    keys = [part.look[rows] for part, rows in zip(parts, own, strict=True)]
    numbers = numbered(np.concatenate([held, *keys]))
    is_held = np.isin(numbers[len(held) :], numbers[: len(held)])
    by_part = np.split(is_held, np.cumsum([len(rows) for rows in own])[:-1])
    return [rows[held] for rows, held in zip(own, by_part, strict=True)], None


@dataclass(frozen=True)
class ChosenCounts:
    """What became of the rows of a partition.

    Attributes:
        num_rows: of each split.
        reasons: texts without labels that are left out, and rows of test that are.
    """

    num_rows: list[int]
    reasons: dict[str, int]


def choose(
    partition: Partition,
    reads_test: bool,
    candidates: Candidates,
    placed: Placed,
    *held: Sequence[Ints],
) -> tuple[Placed, ChosenCounts]:
    """The rows of a partition that are read.

    Args:
        partition: which.
        reads_test: whether rows of test are.
        candidates: its texts without labels.
        placed: its labeled rows.
        held: all results of :func:`find_held_looks`.
    """
    is_held_out = candidates.is_held_out.copy()
    for of_partitions in held:
        is_held_out[of_partitions[partition.number]] = True
    in_train = candidates.in_train & ~is_held_out
    left = np.flatnonzero(~is_held_out & ~in_train)
    first = left[np.unique(candidates.text[left], return_index=True)[1]]
    order = np.argsort(candidates.place[first])
    is_labeled = np.full(len(placed.split), True) if reads_test else placed.split != TEST
    split = np.concatenate([placed.split[is_labeled], np.full(len(first), UNLABELED, np.int8)])
    chosen = Placed(
        place=np.concatenate([placed.place[is_labeled], candidates.place[first][order]]),
        split=split,
        number=np.concatenate([placed.number[is_labeled], np.arange(len(first))[order]]),
        labels=np.concatenate([placed.labels[is_labeled], np.full(len(first), -1)]),
        row_keys=np.concatenate([placed.row_keys[is_labeled], np.zeros(len(first), np.uint64)]),
    )
    return chosen, ChosenCounts(
        num_rows=np.bincount(split, minlength=UNLABELED + 1).tolist(),
        reasons={
            TEST_ROWS: int(np.count_nonzero(~is_labeled)),
            UNLABELED_HELD_OUT: int(np.count_nonzero(is_held_out)),
            UNLABELED_IN_TRAIN: int(np.count_nonzero(in_train)),
            UNLABELED_TWICE: len(left) - len(first),
        },
    )
