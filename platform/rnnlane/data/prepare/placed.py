"""Where rows go: what the partitions say of them, put together for the rows that a task handles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.prepare.blocks import Assignment
from rnnlane.data.prepare.splits import LEFT_OUT, Sides

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Placed:
    """Where the rows of a partition go; only those that have a split.

    Attributes:
        place: int64 [N], rising.
        split: int8 [N]: index in ``blocks.WRITTEN_SPLITS``.
        number: int64 [N]: position among the partition's rows of the split.
        labels: int64 [N]; -1 of texts without a label.
        row_keys: uint64 [N]; see :func:`keys.row_keys`.
    """

    place: Ints
    split: Sides
    number: Ints
    labels: Ints
    row_keys: npt.NDArray[np.uint64]


class Span(NamedTuple):
    """Some rows that follow each other, by their places among all rows read."""

    first: int
    num_rows: int


def assigned(span: Span, numbers_before: Ints, *placed: Placed) -> Assignment:
    """Where some rows go.

    Args:
        span: the rows.
        numbers_before: int64 [P, S]: rows of each split in the partitions before each.
        placed: of all partitions.
    """
    assignment = Assignment(
        split=np.full(span.num_rows, LEFT_OUT, dtype=np.int8),
        row_ids=np.full(span.num_rows, -1, dtype=np.int64),
        labels=np.full(span.num_rows, -1, dtype=np.int64),
        row_keys=np.zeros(span.num_rows, dtype=np.uint64),
    )
    for part, before in zip(placed, numbers_before, strict=True):
        own = slice(*np.searchsorted(part.place, [span.first, span.first + span.num_rows]))
        rows, split = part.place[own] - span.first, part.split[own]
        assignment.split[rows] = split
        assignment.row_ids[rows] = part.number[own] + before[split]
        assignment.labels[rows] = part.labels[own]
        assignment.row_keys[rows] = part.row_keys[own]
    return assignment
