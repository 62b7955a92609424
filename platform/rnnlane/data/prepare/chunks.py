"""Runs of tables in Ray's object store, each handled by one task that knows where its rows go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.data.prepare.placed import Span, assigned
from rnnlane.data.prepare.row_selection import Selection
from rnnlane.data.prepare.tasks import results_in_order
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress

CHUNK_BYTES = 16 << 20

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """A table of ``TOKENS_SCHEMA`` in Ray's object store."""

    ref: Any
    num_rows: int
    num_bytes: int


@dataclass(frozen=True)
class Chunk:
    """Tables that one task handles, which rows they hold, and their size."""

    refs: tuple[Any, ...]
    span: Span
    num_bytes: int


def chunked(blocks: Sequence[Block]) -> list[Chunk]:
    """Runs of tables of about CHUNK_BYTES each, for few and large files."""
    chunks: list[Chunk] = []
    run: list[Block] = []
    start = 0
    for index, block in enumerate(blocks):
        run.append(block)
        is_last = index == len(blocks) - 1
        num_bytes = sum(block.num_bytes for block in run)
        if is_last or num_bytes >= CHUNK_BYTES:
            span = Span(start, sum(block.num_rows for block in run))
            chunks.append(Chunk(tuple(block.ref for block in run), span, num_bytes))
            run, start = [], start + span.num_rows
    return chunks


def by_chunk(
    function: Any,
    chunks: Sequence[Chunk],
    selection: Selection,
    *,
    stage: str,
    events: RunEvents,
) -> Iterator[Any]:
    """The results of one task for each chunk, in order, as they come.

    Args:
        function: called with the number of the chunk, the assignment of its rows, and its tables;
            or the reference of one.
        chunks: all rows.
        selection: of them.
        stage: of the progress.
        events: receives it.
    """
    import ray

    task = ray.remote(_with_assignment)
    starts = (
        partial(
            task.remote,
            function,
            number,
            chunk.span,
            selection.numbers_before,
            len(chunk.refs),
            *chunk.refs,
            *selection.placed,
        )
        for number, chunk in enumerate(chunks)
    )
    total = sum(chunk.span.num_rows for chunk in chunks)
    done = num_bytes = 0
    with closing(results_in_order(starts)) as found:
        for chunk, result in zip(chunks, found, strict=True):
            yield result
            done, num_bytes = done + chunk.span.num_rows, num_bytes + chunk.num_bytes
            events.progress(Progress(stage, done, total, num_bytes=num_bytes))


def _with_assignment(
    function: Callable[..., Any],
    number: int,
    span: Span,
    numbers_before: Ints,
    num_tables: int,
    *parts: Any,
) -> Any:
    """A task: ``parts`` are the tables of the rows, then the ``Placed`` of all partitions."""
    assignment = assigned(span, numbers_before, *parts[num_tables:])
    return function(number, assignment, *parts[:num_tables])
