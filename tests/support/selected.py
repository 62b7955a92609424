"""Rows selected in this process, without Ray; what became of them row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.blocks import Assignment
from rnnlane.data.prepare.described import Overview, Partition, describe
from rnnlane.data.prepare.placed import Span, assigned
from rnnlane.data.prepare.row_selection import Selection, select_rows
from rnnlane.data.prepare.unlabeled import add_unlabeled


def in_process(
    function: Callable[..., tuple[Any, Any]], arguments: Iterable[Sequence[Any]]
) -> tuple[list[Any], list[Any]]:
    """Runs it for each list of arguments."""
    results = [function(*one) for one in arguments]
    return [kept for kept, _ in results], [told for _, told in results]


@dataclass(frozen=True)
class Selected:
    """A selection, and where each row went; the selection's attributes are its own."""

    selection: Selection
    assignment: Assignment

    def __getattr__(self, name: str) -> Any:
        return getattr(self.selection, name)

    @property
    def split(self) -> npt.NDArray[np.int8]:
        return self.assignment.split

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.assignment.labels

    @property
    def row_keys(self) -> npt.NDArray[np.uint64]:
        return self.assignment.row_keys

    @property
    def is_used(self) -> npt.NDArray[np.bool_]:
        return self.split >= 0


def selected(
    rows: pa.Table,
    *,
    config: DataConfig,
    seed: int = 0,
    unlabeled: pa.Table | None = None,
    reads_test: bool = False,
    num_partitions: int = 3,
    rows_of_table: int = 7,
) -> Selected:
    """Selects the rows of a table of ``TOKENS_SCHEMA``, and adds those without labels."""
    partitions = [Partition(n, num_partitions) for n in range(num_partitions)]
    tables, overview = _described(rows, 0, seed, rows_of_table)
    selection = select_rows(
        tables, overview, config=config, partitions=partitions, spread=in_process
    )
    num_rows = rows.num_rows
    if unlabeled is not None:
        more, of_more = _described(unlabeled, num_rows, seed, rows_of_table)
        selection = add_unlabeled(
            selection,
            tables,
            more,
            of_more,
            reads_test=reads_test,
            partitions=partitions,
            spread=in_process,
        )
        num_rows += unlabeled.num_rows
    span = Span(0, num_rows)
    return Selected(selection, assigned(span, selection.numbers_before, *selection.placed))


def _described(
    rows: pa.Table, first_place: int, seed: int, size: int
) -> tuple[list[pa.Table], Overview]:
    starts = range(0, max(rows.num_rows, 1), size)
    tables, told = in_process(
        describe, [(rows.slice(at, size), first_place + at, seed) for at in starts]
    )
    return tables, Overview.sum(told)
