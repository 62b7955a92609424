"""A split that is read from shards while it is trained on, in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import plan_steps
from rnnlane.data.batches.window_files import MappedWindow, WindowFolder
from rnnlane.data.batches.windows import OPEN_SHARDS, Window, Windows, class_order
from rnnlane.data.file_cache import NO_COPIES, FileCache
from rnnlane.data.prepare.shards import AnyShards, GroupRows
from rnnlane.errors import DataError

Ints = npt.NDArray[np.int64]

# Some 32 MB of a node's memory; up to three windows are decoded at a time.
WINDOW_TOKENS = 2**23
# Fewer, and rows of like length would no longer share a step.
LEAST_WINDOW_STEPS = 32


class StepRows(NamedTuple):
    """The rows of a step.

    Attributes:
        split: holds them, and others.
        rows: int64 [b], their positions there.
        row_ids: int64 [b], their ids in the whole split.
    """

    split: EncodedSplit
    rows: Ints
    row_ids: Ints


@dataclass(frozen=True)
class StreamedSplit:
    """The rows of a split as shards; of small size, whatever the number of rows.

    Attributes:
        shards: of the split.
        window_tokens: of a window, about.
        num_open: shards of a class that are read at once.
        cache: has copies of shards.
    """

    shards: AnyShards
    window_tokens: int = WINDOW_TOKENS
    num_open: int = OPEN_SHARDS
    cache: FileCache = NO_COPIES

    def __len__(self) -> int:
        return int(self.shards.class_counts.sum())

    def class_counts(self, num_classes: int) -> Ints:
        """Rows of each class: int64 [num_classes]."""
        assert num_classes == len(self.shards.class_counts)
        return self.shards.class_counts

    @property
    def num_chunks(self) -> int:
        """How many :meth:`chunk` there are."""
        return len(self._groups)

    def chunk(self, number: int) -> tuple[Ints, EncodedSplit]:
        """Some of the rows, and their ids.

        Raises:
            DataError: a shard is damaged or cannot be read.
        """
        label, shard, group = self._groups[number]
        rows = self.shards.read(label, shard, group, cache=self.cache)
        return rows.row_ids, rows.as_split(label)

    @cached_property
    def _groups(self) -> list[tuple[int, int, int]]:
        return [
            (label, shard, group)
            for label, shards in enumerate(self.shards.group_rows)
            for shard, rows in enumerate(shards)
            for group in range(len(rows))
        ]

    def window_steps(self, global_batch_size: int) -> int:
        """Steps of a window."""
        tokens_a_step = global_batch_size * self.shards.tokens_a_row
        return max(LEAST_WINDOW_STEPS, round(self.window_tokens / tokens_a_step))

    def order_id(self, global_batch_size: int) -> str | None:
        """What decides the order of rows beside seed, epoch and batch plan; None: nothing does.

        In one window they are in the order of a split that is held in memory.
        """
        steps = self.window_steps(global_batch_size)
        if steps * global_batch_size >= len(self):
            return None
        return _digest([steps, self.num_open, self.shards.group_rows])

    def epoch(self, *, global_batch_size: int, seed: int, epoch: int, max_buckets: int) -> Epoch:
        """What is read in an epoch; see :func:`rnnlane.data.batches.plan.plan`."""
        return Epoch(
            self,
            global_batch_size=global_batch_size,
            seed=seed,
            epoch=epoch,
            max_buckets=max_buckets,
        )


class Epoch:
    """The windows of one epoch. Use it as a context.

    Args:
        split: the rows.
        global_batch_size, seed, epoch, max_buckets: of the batch plan.
    """

    def __init__(
        self,
        split: StreamedSplit,
        *,
        global_batch_size: int,
        seed: int,
        epoch: int,
        max_buckets: int,
    ):
        self._shards, self._cache = split.shards, split.cache
        self._seed, self._epoch, self._max_buckets = seed, epoch, max_buckets
        self._num_steps = split.window_steps(global_batch_size)
        self._windows = Windows(
            split.shards.class_counts,
            global_batch_size=global_batch_size,
            num_steps=self._num_steps,
        )
        self._orders = [
            class_order(rows, seed=seed, epoch=epoch, label=label, num_open=split.num_open)
            for label, rows in enumerate(split.shards.group_rows)
        ]
        # Of a class, the row group that a window has begun to take from.
        self._begun: dict[int, tuple[tuple[int, int], GroupRows]] = {}
        same = [self._shards.name, self._num_steps, split.num_open, global_batch_size, seed]
        self._folder = WindowFolder(_digest(same))

    def __enter__(self) -> Epoch:
        self._folder.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.__exit__()

    def windows(self, start: int) -> Iterator[tuple[str, list[StepRows]]]:
        """The windows that have step ``start`` and later ones.

        Yields:
            A name for :meth:`forget`, and the steps of the window from ``start`` on.

        Raises:
            DataError: a shard is damaged or cannot be read.
        """
        for window in self._windows.starting_at(start // self._num_steps):
            name = f"{self._epoch}-{window.number}"
            mapped = self._folder.window(name, partial(self._decoded, window))
            steps = self._steps(window, mapped)
            yield name, steps[max(0, start - window.first_step) :]

    def forget(self, name: str) -> None:
        """A window that has been read goes."""
        self._folder.remove(name)

    def _steps(self, window: Window, mapped: MappedWindow) -> list[StepRows]:
        split, row_ids = mapped.split, mapped.row_ids
        # In the order of ids, as where all rows are held in memory.
        order = np.argsort(row_ids, kind="stable")
        if len(row_ids) != window.counts.sum() or (np.diff(row_ids[order]) <= 0).any():
            raise DataError(
                "the prepared data is damaged: a row is there twice",
                where=self._shards.path,
                remedy="remove this folder, and run again",
            )
        planned = plan_steps(
            split.labels[order],
            split.lengths[order],
            window.counts,
            seed=self._seed,
            epoch=self._epoch,
            window=window.number,
            max_buckets=self._max_buckets,
        )
        return [StepRows(split, order[rows], row_ids[order[rows]]) for rows in planned]

    def _decoded(self, window: Window) -> Iterator[tuple[int, GroupRows]]:
        after = window.after
        for label in np.flatnonzero(after > window.before).tolist():
            order = self._orders[label]
            for piece in order.pieces(int(window.before[label]), int(after[label])):
                rows = self._group(label, piece.shard, piece.group)
                if piece.stop < len(rows.row_ids):
                    self._begun[label] = ((piece.shard, piece.group), rows)
                yield label, rows.cut(piece.start, piece.stop)

    def _group(self, label: int, shard: int, group: int) -> GroupRows:
        place, rows = self._begun.pop(label, ((-1, -1), None))
        if rows is not None and place == (shard, group):
            return rows
        return self._shards.read(label, shard, group, cache=self._cache)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
