"""All rows of a source, counted; and some of its texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from rnnlane.config.data import Columns
from rnnlane.data.sources.base import Source
from rnnlane.data.sources.column_files import ColumnFileSource
from rnnlane.data.sources.rows import RawRow

MAX_ROWS = 1_000_000
_SAMPLE_ROWS, _SAMPLED_OF = 5_000, 100_000
_TEXTS = 10_000
_TEXT_BYTES = 10_000  # of a text in the sample
_MOST_TEXTS = 10  # of a class, that are told apart


@dataclass
class Tally:
    """What the rows of a source hold.

    Attributes:
        num_rows: read, those without a text or a label included.
        num_without_text: rows.
        num_without_label: rows with a text.
        classes: rows by label, those with a text.
        different: different texts by label, counted up to ten.
        has_distinct_ids: whether each row has an id, and no two the same.
        texts: some, drawn from all.
        is_complete: whether all rows were read.
    """

    num_rows: int = 0
    num_without_text: int = 0
    num_without_label: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    different: dict[str, int] = field(default_factory=dict)
    has_distinct_ids: bool = True
    texts: list[str] = field(default_factory=list)
    is_complete: bool = True


def sampled_records(source: ColumnFileSource) -> list[Mapping[str, Any]]:
    """Rows with all their columns: some of the first 100,000, in no order.

    Raises:
        DataError: a file cannot be read.
    """
    records = chain.from_iterable(map(source.read_records, source.list_files()))
    return _drawn(islice(records, _SAMPLED_OF), _SAMPLE_ROWS)


def _drawn(values: Iterator[Any], count: int) -> list[Any]:
    """A random sample of an iterator, the same in each call."""
    generator = random.Random(0)  # noqa: S311
    drawn: list[Any] = []
    for number, value in enumerate(values):
        if number < count:
            drawn.append(value)
        elif (place := generator.randrange(number + 1)) < count:
            drawn[place] = value
    generator.shuffle(drawn)  # a file may be sorted by class
    return drawn


def tally_of(source: Source, columns: Columns) -> Tally:
    """Reads all rows, or the first million.

    Raises:
        DataError: a row cannot be read.
    """
    tally = Tally()
    rows = chain.from_iterable(task() for task in source.read_tasks(columns))
    tally.texts = _drawn(_counted(islice(rows, MAX_ROWS), tally), _TEXTS)
    tally.is_complete = next(rows, None) is None
    return tally


def _counted(rows: Iterator[RawRow], tally: Tally) -> Iterator[str]:
    """The texts of the rows that are counted meanwhile."""
    ids: set[int] = set()
    kept: dict[str, set[int]] = {}
    for row in rows:
        tally.num_rows += 1
        if tally.has_distinct_ids:
            ids.add(hash(row.id))
            tally.has_distinct_ids = row.id is not None and len(ids) == tally.num_rows
        if row.text is None or not row.text.strip():
            tally.num_without_text += 1
        elif row.label is None:
            tally.num_without_label += 1
        else:
            tally.classes[row.label] += 1
            of_class = kept.setdefault(row.label, set())
            if len(of_class) < _MOST_TEXTS:
                of_class.add(hash(row.text))
                tally.different[row.label] = len(of_class)
            yield row.text[:_TEXT_BYTES].decode("utf-8", "replace")
