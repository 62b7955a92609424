"""Which rows of a split that is read from shards are in which window of an epoch's steps.

A split is stored as a run of shards for each class, a shard as a run of row groups, which are read
whole. An epoch reads each class from a few shards at once, each from front to back, and cuts what
it reads into windows of so many steps; the rows of a window are then dealt to its steps by
:func:`rnnlane.data.batches.plan.plan_steps`. All is a pure function of the numbers of rows, the
seed and the epoch: whoever knows them can begin anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.apportionment import iterate_class_counts
from rnnlane.data.batches.plan import check_at_least, random_bits

Ints = npt.NDArray[np.int64]

# Shards of a class that are read at once.
OPEN_SHARDS = 6
GROUP_STREAM = 2


class Piece(NamedTuple):
    """Rows of one row group: ``start`` to ``stop``, both counted in the group."""

    shard: int
    group: int
    start: int
    stop: int


@dataclass(frozen=True)
class ClassOrder:
    """The order in which an epoch reads the row groups of one class.

    Attributes:
        shards: int64 [G], the shard of each row group, in the order of reading.
        groups: int64 [G], its number in the shard; of each shard they rise.
        ends: int64 [G], rows of the class up to the end of each.
    """

    shards: Ints
    groups: Ints
    ends: Ints

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """Where the rows of the class from ``start`` to ``stop``, as they are read, are."""
        found = []
        index = int(np.searchsorted(self.ends, start, side="right"))
        while start < stop:
            end = int(self.ends[index])
            first = int(self.ends[index - 1]) if index else 0
            last = min(stop, end)
            shard, group = int(self.shards[index]), int(self.groups[index])
            found.append(Piece(shard, group, start - first, last - first))
            start, index = last, index + 1
        return found


def class_order(
    group_rows: Sequence[Sequence[int]],
    *,
    seed: int,
    epoch: int,
    label: int,
    num_open: int = OPEN_SHARDS,
) -> ClassOrder:
    """Draws the order of an epoch: shards in a random one, ``num_open`` of them interleaved.

    Args:
        group_rows: of each shard of the class, the rows of each of its row groups.
        seed: of the batch plan.
        epoch: at least 0.
        label: of the class.
        num_open: at least 1.
    """
    check_at_least(1, num_open=num_open)
    num_groups = sum(map(len, group_rows))
    bits = random_bits(
        len(group_rows) + num_groups, seed=seed, epoch=epoch, stream=GROUP_STREAM, part=label
    )
    waiting = np.argsort(bits[: len(group_rows)], kind="stable")[::-1].tolist()
    shards, groups = np.zeros(num_groups, np.int64), np.zeros(num_groups, np.int64)
    opened: list[tuple[int, int]] = []
    for index, draw in enumerate(bits[len(group_rows) :].tolist()):
        while waiting and len(opened) < num_open:
            opened.append((waiting.pop(), 0))
        place = draw % len(opened)
        shard, group = opened[place]
        shards[index], groups[index] = shard, group
        if group + 1 < len(group_rows[shard]):
            opened[place] = (shard, group + 1)
        else:
            del opened[place]
    places = zip(shards.tolist(), groups.tolist(), strict=True)
    rows = [group_rows[shard][group] for shard, group in places]
    return ClassOrder(shards, groups, np.cumsum(np.array(rows, dtype=np.int64)))


@dataclass(frozen=True)
class Window:
    """Some steps of an epoch.

    Attributes:
        number: from 0.
        first_step: of the epoch.
        before: int64 [C], rows of each class in the steps before.
        counts: int64 [W, C], rows of each class in each step.
    """

    number: int
    first_step: int
    before: Ints
    counts: Ints

    @property
    def after(self) -> Ints:
        """Rows of each class in all steps up to the end of the window: int64 [C]."""
        after: Ints = self.before + self.counts.sum(axis=0)
        return after


class Windows:
    """The windows of an epoch, the same in every epoch; in memory for a few numbers a class each.

    Args:
        class_counts: int64 [C], rows of each class; a class may have none.
        global_batch_size: rows of a step, but for the last one.
        num_steps: of a window, but for the last one.
    """

    def __init__(self, class_counts: Ints, *, global_batch_size: int, num_steps: int):
        check_at_least(1, global_batch_size=global_batch_size, num_steps=num_steps)
        self._present = np.flatnonzero(class_counts)
        self._class_counts = np.asarray(class_counts, dtype=np.int64)
        self._global_batch_size = global_batch_size
        self._num_steps = num_steps

    @property
    def num_windows(self) -> int:
        """Of an epoch."""
        num_steps = -(-int(self._class_counts.sum()) // self._global_batch_size)
        return -(-num_steps // self._num_steps)

    def starting_at(self, number: int) -> Iterator[Window]:
        """The windows from ``number`` on; what those before hold is found by going through them."""
        steps, before = self._steps(), np.zeros_like(self._class_counts)
        for index in range(self.num_windows):
            counts = np.array(list(islice(steps, self._num_steps)), dtype=np.int64)
            window = Window(index, index * self._num_steps, before, counts)
            if index >= number:
                yield window
            before = window.after

    def _steps(self) -> Iterator[Ints]:
        """Rows of each class in each step."""
        for counts in iterate_class_counts(
            self._class_counts[self._present], global_batch_size=self._global_batch_size
        ):
            step = np.zeros_like(self._class_counts)
            step[self._present] = counts
            yield step
