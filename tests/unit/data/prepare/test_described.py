"""Rows described and cut into partitions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.blocks import tokenize_rows
from rnnlane.data.prepare.described import DESCRIBED_SCHEMA, Overview, Partition, describe
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.sources.row_tables import tables_of
from rnnlane.data.sources.rows import RawRow

MOST = (1 << 64) - 1
HASHES = st.one_of(st.integers(0, MOST), st.sampled_from([0, 1, MOST - 1, MOST, 1 << 63]))


@settings(deadline=None)
@given(st.lists(HASHES, max_size=40), st.integers(1, 70))
def test_each_hash_is_in_one_partition_and_partitions_follow_each_other(hashes, of) -> None:
    ordered = np.sort(np.array(hashes, dtype=np.uint64))
    spans = []
    for number in range(of):
        partition = Partition(number, of)
        span = partition.span(ordered)
        assert np.flatnonzero(partition.holds(ordered)).tolist() == list(range(len(ordered)))[span]
        spans += list(range(len(ordered)))[span]
    assert spans == list(range(len(ordered)))


def test_partitions_are_small_however_many_rows_there_are() -> None:
    assert Partition.all_for(0) == Partition.all_for(500_000) == [Partition(0, 1)]
    assert [one.of for one in Partition.all_for(1_000_001)] == [3, 3, 3]


def tokenized(*rows: RawRow) -> pa.Table:
    (table,) = tables_of(rows)
    return tokenize_rows(table, processor=TextProcessor.from_config(TextConfig()))


def test_rows_that_can_be_used_are_described_and_all_are_counted() -> None:
    table = tokenized(
        RawRow(b"a film", "pos", "7", False, "g"),
        RawRow(None, "pos"),
        RawRow(b"caf\xe9", "neg"),
        RawRow(b"<br />", "neg"),
        RawRow(b"x", None),
    )
    described, overview = describe(table, 100, 0)
    assert described.schema == DESCRIBED_SCHEMA
    assert sorted(described["place"].to_pylist()) == [100, 102, 103]
    hashes = described["hash"].to_pylist()
    assert hashes == sorted(hashes)
    first = described.to_pylist()[described["place"].to_pylist().index(100)]
    assert (first["id"], first["group"], first["label"]) == ("7", "g", "pos")
    assert overview == Overview(
        num_rows=5,
        num_repaired=1,
        num_without_look=1,
        num_with_id=1,
        dropped={"null_text": 1, "null_label": 1},
        labels={"pos": 1, "neg": 2},
    )
    both = Overview.sum([overview, overview])
    assert (both.num_rows, both.labels["neg"], both.dropped["null_text"]) == (10, 4, 2)


def test_another_seed_gives_another_order() -> None:
    table = tokenized(*(RawRow(f"text {n}".encode(), "a") for n in range(50)))
    orders = [describe(table, 0, seed)[0]["place"].to_pylist() for seed in (0, 0, 1, 2**64)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
