"""What selecting rows needs to know of each, and how it is cut into partitions.

A partition is a range of a seeded hash of the texts' keys, so all rows of a text are in one, and
partitions follow each other in the canonical order of the rows. See ``row_selection``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rnnlane.data.prepare.blocks import TOKENS_SCHEMA
from rnnlane.data.prepare.keys import KEY_BYTES, Hashes, Keys, exact_key, key_array, text_hashes

# A partition's tasks hold some 450 bytes a row (`python -m tests.benchmarks.scale`).
ROWS_OF_PARTITION = 500_000

# ``place`` is the row's position among all rows read; ``hash`` decides its partition, and
# ``id_hash`` that of its id.
DESCRIBED_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("hash", pa.uint64()),
        ("id_hash", pa.uint64()),
        *(TOKENS_SCHEMA.field(name) for name in ("key", "exact", "look", "label", "id")),
        *(TOKENS_SCHEMA.field(name) for name in ("official_test", "group")),
    ]
)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Overview:
    """Rows of a source in numbers.

    Attributes:
        num_rows: all of them.
        num_repaired: those whose texts are not UTF-8.
        num_without_look: those that can be used, but that the text settings leave empty.
        num_with_id: those that can be used and have an id.
        dropped: those that cannot be used, by reason.
        labels: those that can be used, by label.
    """

    num_rows: int = 0
    num_repaired: int = 0
    num_without_look: int = 0
    num_with_id: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)

    @classmethod
    def sum(cls, parts: Iterable[Overview]) -> Overview:
        """That of several parts together."""
        dropped, labels = Counter[str](), Counter[str]()
        num_rows = num_repaired = num_without_look = num_with_id = 0
        for part in parts:
            num_rows += part.num_rows
            num_repaired += part.num_repaired
            num_without_look += part.num_without_look
            num_with_id += part.num_with_id
            dropped.update(part.dropped)
            labels.update(part.labels)
        return cls(num_rows, num_repaired, num_without_look, num_with_id, dropped, labels)


def describe(table: pa.Table, first_place: int, seed: int) -> tuple[pa.Table, Overview]:
    """Takes what is needed of some rows, without those that no settings could use.

    Args:
        table: of ``TOKENS_SCHEMA``.
        first_place: of its first row.
        seed: of the splits.

    Returns:
        Table of ``DESCRIBED_SCHEMA`` with the rows that can be used, by rising hash; and all rows
        in numbers.
    """
    is_usable = table["dropped"].is_null()
    place = first_place + np.flatnonzero(is_usable.to_numpy())
    kept = [name for name in DESCRIBED_SCHEMA.names if name in TOKENS_SCHEMA.names]
    usable = table.select(kept).filter(is_usable).combine_chunks()
    hashes = text_hashes(key_array(usable["key"]), seed=seed)
    order = np.argsort(hashes, kind="stable")
    found = {"place": place, "hash": hashes, "id_hash": _id_hashes(usable["id"])}
    columns = [
        pa.array(found[name]) if name in found else usable[name] for name in DESCRIBED_SCHEMA.names
    ]
    described = pa.table(columns, schema=DESCRIBED_SCHEMA).take(pa.array(order))
    overview = Overview(
        num_rows=table.num_rows,
        num_repaired=pc.sum(table["invalid_utf8"]).as_py() or 0,
        num_without_look=usable["look"].null_count,
        num_with_id=len(usable) - usable["id"].null_count,
        dropped=_counts(table["dropped"].drop_null()),
        labels=_counts(usable["label"].drop_null()),
    )
    return described, overview


def _counts(values: pa.ChunkedArray) -> Counter[str]:
    return Counter(
        {entry["values"]: entry["counts"] for entry in values.value_counts().to_pylist()}
    )


def _id_hashes(ids: pa.ChunkedArray) -> Hashes:
    if ids.null_count == len(ids):
        return np.zeros(len(ids), dtype=np.uint64)
    digests = [exact_key(one or "") for one in ids.to_pylist()]
    return key_array(pa.chunked_array([pa.array(digests, pa.binary(KEY_BYTES))]))[:, 0]


class Partition(NamedTuple):
    """One of several equal ranges of hashes.

    Attributes:
        number: from 0.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def all_for(cls, num_rows: int) -> list[Partition]:
        """As many as keep each small."""
        count = max(1, -(-num_rows // ROWS_OF_PARTITION))
        return [cls(number, count) for number in range(count)]

    def span(self, hashes: Hashes) -> slice:
        """Where its hashes are among rising ones."""
        start, stop = np.searchsorted(hashes, np.array(self._bounds(), dtype=np.uint64))
        return slice(int(start), len(hashes) if self.number == self.of - 1 else int(stop))

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which hashes are its own: bool [N]."""
        first, end = self._bounds()
        is_own = hashes >= np.uint64(first)
        return is_own if self.number == self.of - 1 else is_own & (hashes < np.uint64(end))

    def _bounds(self) -> tuple[int, int]:
        first, end = (-(-(n << 64) // self.of) for n in (self.number, self.number + 1))
        return first, min(end, (1 << 64) - 1)

    def rows_of(self, tables: Sequence[pa.Table]) -> pa.Table:
        """Its rows of some tables of ``DESCRIBED_SCHEMA`` that are sorted by hash."""
        slices = [DESCRIBED_SCHEMA.empty_table()]
        for table in tables:
            span = self.span(table["hash"].to_numpy())
            slices.append(table.slice(span.start, span.stop - span.start))
        return pa.concat_tables(slices).combine_chunks()


def text_order(
    hashes: Hashes, keys: Keys, exact: Keys, labels: Ints, place: Ints
) -> tuple[Ints, Ints]:
    """The rows by hash, key, label and content; and the number of the text at each position.

    Rows that are alike in all of these are in the order in which they were read.

    Args:
        hashes: uint64 [N]; see :func:`keys.text_hashes`.
        keys: uint64 [N, 2]: equal for equal texts; see :func:`keys.split_key`.
        exact: uint64 [N, 2]: tells rows of one key apart; see :func:`keys.exact_key`.
        labels: int64 [N].
        place: int64 [N].

    Returns:
        int64 [N] rows, int64 [N] text numbers, rising from 0.
    """
    first, second = keys[:, 0], keys[:, 1]
    order = np.argsort(hashes)
    # One key sorts several times faster than all; only rows that share a hash need the others.
    equal = hashes[order[1:]] == hashes[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
    rows = order[tied]
    columns = (place, exact[:, 1], exact[:, 0], labels, second, first, hashes)
    order[tied] = rows[np.lexsort([column[rows] for column in columns])]
    first, second = first[order], second[order]
    text = np.zeros(len(order), dtype=np.int64)
    np.cumsum((first[1:] != first[:-1]) | (second[1:] != second[:-1]), out=text[1:])
    return order, text
