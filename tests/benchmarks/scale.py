"""`python -m tests.benchmarks.scale`: what grows with the data, the workers and the classes.

Each line is of the shipped code. Where it can run at a size, its time and memory were measured in a
process of its own ("measured"); beyond that the same quantity is carried on as it has grown
("carried on"), or follows from sizes alone ("computed"). The end names the first limits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.batches.apportionment import iterate_class_counts
from rnnlane.data.batches.plan import Planner
from rnnlane.data.batches.streamed import LEAST_WINDOW_STEPS
from rnnlane.data.batches.windows import Windows, class_order
from rnnlane.data.prepare.blocks import TOKENS_SCHEMA
from rnnlane.data.prepare.described import ROWS_OF_PARTITION, Partition, describe
from rnnlane.data.prepare.merging import assign, count_alone, lose_alike, merge, place
from rnnlane.data.prepare.sharding import Layout
from rnnlane.data.prepare.shards import ShardInfo
from rnnlane.data.prepare.splits import deal, quotas_of
from rnnlane.execution.inventory import in_words

# As of movie reviews.
TOKENS_A_ROW = 274
BATCH_SIZE = 512
ROWS = tuple(10**power for power in range(6, 11))
CLASSES = (2, 100, 10_000)
WORKERS = (2, 16, 128, 1_024, 4_096)
GIB = 2**30
# Of DeviceUse: utilization, and of memory and power the amount and the share.
METRICS_A_GPU = 5


@dataclass(frozen=True)
class Cost:
    """What something took in a process of its own.

    Attributes:
        seconds: of its CPU.
        num_bytes: by which the process grew at most.
    """

    seconds: float
    num_bytes: int


def cost(function: Callable[[], object]) -> Cost:
    """Runs a function in a process that is made for it."""
    with mp.get_context("fork").Pool(1) as pool:
        return pool.apply(_cost, (function,))


def _cost(function: Callable[[], object]) -> Cost:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    result = function()
    seconds = time.process_time() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    del result
    return Cost(seconds, 1024 * grown)


def duration(seconds: float) -> str:
    """With a unit of its own size."""
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} us"
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


def table(title: str, header: list[str], lines: Iterator[list[str]] | list[list[str]]) -> None:
    """Prints lines below a title, the columns aligned."""
    rows = [header, *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}")
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join(cells).rstrip(), flush=True)


def of_rows(title: str, function: Callable[[int], object], most: int) -> float:
    """A table of what grows with the rows; measured up to ``most``. Returns bytes a row."""
    lines, last = [], Cost(0.0, 0)
    for num_rows in ROWS:
        if num_rows <= most:
            last, at, how = cost(partial(function, num_rows)), num_rows, "measured"
        else:
            how = "carried on"
        grown = num_rows / at
        lines.append(
            [
                f"{num_rows:.0e}",
                duration(last.seconds * grown),
                in_words(last.num_bytes * grown),
                how,
            ]
        )
    table(title, ["rows", "CPU", "memory", ""], lines)
    return last.num_bytes / at


def described_rows(num_rows: int, num_classes: int = 2) -> pa.Table:
    """Rows as a task of `prepare` describes them, each of a text of its own."""
    random = np.random.default_rng(0)
    digests = random.bytes(16 * num_rows)
    column = pa.Array.from_buffers(pa.binary(16), num_rows, [None, pa.py_buffer(digests)])
    values = {
        "key": column,
        "exact": column,
        "look": column,
        "label": pa.array(random.integers(0, num_classes, num_rows).astype(str)),
        **dict.fromkeys(("official_test", "invalid_utf8"), pa.array(np.zeros(num_rows, bool))),
    }
    columns = [values.get(f.name, pa.nulls(num_rows, f.type)) for f in TOKENS_SCHEMA]
    rows = pa.table(
        [c.cast(f.type) for c, f in zip(columns, TOKENS_SCHEMA, strict=True)], TOKENS_SCHEMA
    )
    return describe(rows, 0, 0)[0]


def one_partition() -> None:
    """What a task of `prepare` holds to select the rows of its partition, and the driver of all."""
    lines = []
    for num_classes in CLASSES:
        spent = cost(partial(_one_partition, num_classes))
        lines.append([f"{num_classes:,}", duration(spent.seconds), in_words(spent.num_bytes)])
    table(
        f"prepare: {ROWS_OF_PARTITION:,} rows of a partition selected, by all its tasks (measured)",
        ["classes", "CPU", "memory"],
        lines,
    )


def _one_partition(num_classes: int) -> object:
    names = [str(n) for n in range(num_classes)]
    partition = Partition(0, 1)
    rows, counts = merge(partition, names, False, 1, described_rows(ROWS_OF_PARTITION, num_classes))
    _, alone = count_alone(rows, True, None, num_classes)
    none = np.zeros((num_classes, 3), dtype=np.int64)
    sizes = counts.entries.tolist()
    dealt = deal(alone, quotas_of(sizes, test_share=0.2, val_share=0.1), sizes=sizes, held=none)
    split, _ = assign(rows, True, None, dealt)
    lost, _ = lose_alike(partition, rows, split)
    return rows, place(partition, names, rows, split, lost)


def experiment(**changes: Any) -> ExperimentConfig:
    """One whose rows are made here."""
    source = {"kind": "generated", "num_rows": 1_000}
    return experiment_from_mapping({"name": "scale", "data": {"source": source}, **changes})


def planned(num_rows: int) -> object:
    """The order of an epoch over rows in memory."""
    random = np.random.default_rng(0)
    lengths = random.integers(20, 2 * TOKENS_A_ROW, num_rows)
    planner = Planner.of_split(
        random.integers(0, 2, num_rows),
        lengths,
        global_batch_size=BATCH_SIZE,
        seed=0,
        max_buckets=50,
    )
    return lengths, planner, planner.order(1)


def group_rows(num_rows: int, num_classes: int) -> list[list[int]]:
    """Of one class: the rows of the row groups of its shards, all alike."""
    layout = Layout()
    of_class = num_rows // num_classes
    of_group = layout.rows_of_group(num_classes, TOKENS_A_ROW)
    a_shard = max(1, layout.rows_of_shard(TOKENS_A_ROW) // of_group)
    num_groups = -(-of_class // of_group)
    return [
        [of_group] * min(a_shard, num_groups - first) for first in range(0, num_groups, a_shard)
    ]


def manifest_bytes(shards: list[list[int]], num_classes: int) -> int:
    """Of the shards' manifest, as it is written and held by every worker."""
    whole = shards[0]
    info = ShardInfo(
        file="class-00000/shard-00000.parquet",
        num_bytes=10**8,
        rows=tuple(whole),
        checksums=tuple([2**31] * len(whole)),
    )
    num_shards = sum(map(len, shards)) / len(whole)
    return int(len(info.model_dump_json()) * num_shards * num_classes)


def streaming(most_groups: int) -> None:
    """What an epoch over shards needs before its first step, and while it lasts."""
    lines = []
    for num_classes in CLASSES:
        for num_rows in ROWS:
            shards = group_rows(num_rows, num_classes)
            num_groups = sum(map(len, shards)) * num_classes
            # The order of one class costs the same as that of each other one.
            one = None if num_groups / num_classes > most_groups else order_seconds(shards)
            group_bytes = 4 * TOKENS_A_ROW * shards[0][0]
            lines.append(
                [
                    f"{num_rows:.0e}",
                    f"{num_classes:,}",
                    f"{num_groups:,}",
                    in_words(manifest_bytes(shards, num_classes)),
                    "" if one is None else duration(one * num_classes),
                    in_words(group_bytes * min(num_classes, num_rows)),
                ]
            )
    header = ["rows", "classes", "row groups", "manifest", "orders", "groups held"]
    table(
        "Streaming, each node's reader: CPU of an epoch's orders (measured for one class), and a "
        "row group of every class (computed)",
        header,
        lines,
    )


def order_seconds(shards: list[list[int]]) -> float:
    """CPU seconds of the order of one class, the least of three."""
    found = []
    for epoch in range(3):
        started = time.process_time()
        class_order(shards, seed=0, epoch=epoch, label=0)
        found.append(time.process_time() - started)
    return min(found)


def apportioned() -> None:
    """The classes of a step, and those of a window."""
    lines = []
    for num_classes in CLASSES:
        counts = np.full(num_classes, 10**10 // num_classes)
        steps = iterate_class_counts(counts, global_batch_size=BATCH_SIZE)
        next(steps)
        started = time.process_time()
        for _ in range(200):
            next(steps)
        a_step = (time.process_time() - started) / 200
        windows = Windows(counts, global_batch_size=BATCH_SIZE, num_steps=LEAST_WINDOW_STEPS)
        window = next(windows.starting_at(0))
        to_the_end = duration(a_step * 10**10 / BATCH_SIZE)
        counts_bytes = in_words(window.counts.nbytes)
        lines.append([f"{num_classes:,}", duration(a_step), to_the_end, counts_bytes])
    table(
        "Rows of each class in a step, of 1e10 rows (measured); a resumed epoch goes through all "
        "steps before (computed)",
        ["classes", "CPU a step", "to the end", "counts of a window"],
        lines,
    )


def exchanged() -> None:
    """What a worker sends in a step, and what the steps of many workers have in common."""
    from rnnlane.models.classifier import build_model

    vocabulary_size = 30_000
    model = build_model(
        experiment(model={"cell": "lstm", "num_layers": 1}).model,
        vocabulary_size=vocabulary_size,
        num_classes=2,
        seed=0,
    )
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    [width] = [value.shape[1] for name, value in model.named_parameters() if "embedding" in name]
    dense = sum(count for name, count in sizes.items() if "embedding" not in name)
    # Zipf's law: the share of the words that occur among so many.
    ranks = np.arange(1, vocabulary_size + 1)
    probability = (1 / ranks) / (1 / ranks).sum()
    lines = []
    for num_workers in WORKERS:
        for rows_each in (32, 512):
            num_tokens = num_workers * rows_each * TOKENS_A_ROW
            touched = float((1 - (1 - probability) ** num_tokens).sum())
            buffer = 4 * (dense + touched * width)
            sent = 2 * (num_workers - 1) / num_workers * buffer
            lines.append(
                [
                    f"{num_workers:,}",
                    f"{rows_each:,}",
                    f"{touched:,.0f}",
                    in_words(sent),
                    in_words(8 * num_tokens),
                ]
            )
    table(
        "A step of lstm-1 (computed): what a worker sends in a ring, and the tokens of the whole "
        "step,\nwhich every worker looks through for the words that the others touch",
        ["workers", "rows each", "words touched", "sent", "tokens of the step"],
        lines,
    )


def logged() -> None:
    """Values that a run of a day writes to MLflow."""
    from rnnlane.tracking.machine_use import INTERVAL_S, MachineUse
    from rnnlane.tracking.system_metrics import STEPS_PER_AGE

    metrics_a_node = len(MachineUse()())
    steps = STEPS_PER_AGE * (1 + np.log(86_400 / (INTERVAL_S * STEPS_PER_AGE)))
    lines = []
    for num_workers in WORKERS:
        num_nodes = max(1, num_workers // 8)
        metrics = num_nodes * (metrics_a_node + 8 * METRICS_A_GPU)
        lines.append(
            [
                f"{num_workers:,}",
                f"{num_nodes:,}",
                f"{metrics:,}",
                f"{metrics * steps:,.0f}",
                f"{metrics * steps / 86_400:,.0f}",
            ]
        )
    table(
        "MLflow: values of a day's system metrics, 8 GPUs a node (computed); all others are some "
        "20 an epoch",
        ["workers", "nodes", "metrics", "values", "values/s"],
        lines,
    )


def bytes_a_token() -> float:
    """Of tokens and texts, as they wait to be encoded."""
    from rnnlane.data.prepare.blocks import tokenize_rows
    from rnnlane.data.prepare.text import TextProcessor
    from rnnlane.data.sources.generated import GeneratedSource, generate_reviews
    from rnnlane.data.sources.row_tables import RAW_SCHEMA

    reviews = generate_reviews(GeneratedSource(kind="generated", num_rows=1_000), 0, 1_000)
    texts = pa.array([text.encode() for text, _ in reviews], pa.large_binary())
    rows = pa.table(
        [
            texts if field.name == "text" else pa.nulls(len(texts), field.type)
            for field in RAW_SCHEMA
        ],
        schema=RAW_SCHEMA,
    )
    tokens = tokenize_rows(
        rows, processor=TextProcessor.from_config(experiment().text), unlabeled=True
    )
    return float(tokens.nbytes / len(tokens["tokens"].combine_chunks().flatten()))


def referred() -> None:
    """What `prepare` leaves in Ray's store and in files."""
    from rnnlane.data.prepare.chunks import CHUNK_BYTES
    from rnnlane.data.prepare.pipeline import block_bytes

    row_bytes = round(bytes_a_token() * TOKENS_A_ROW)
    text_bytes = 5 * TOKENS_A_ROW
    lines = []
    for num_rows in ROWS:
        files = 5 * num_rows * row_bytes // CHUNK_BYTES  # three splits, and the texts of two
        a_file = len(json.dumps({"rows/train/part-000000.parquet": 10**7})) * 2 + 12
        lines.append(
            [
                f"{num_rows:.0e}",
                in_words(num_rows * row_bytes),
                f"{-(-num_rows * row_bytes // block_bytes(num_rows * text_bytes)):,}",
                f"{max(5, files):,}",
                in_words(max(5, files) * a_file),
            ]
        )
    table(
        "prepare (computed): tokens and texts in Ray's object store, which spills to disk; files",
        ["rows", "in the store", "object references", "files", "manifest"],
        lines,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--most-rows", type=float, default=1e7, help="measured, at least 1e6 (default: 1e7)"
    )
    most = max(ROWS[0], int(parser.parse_args().most_rows))
    apportioned()
    streaming(most_groups=10**6)
    exchanged()
    logged()
    referred()
    planner = of_rows("Plan of an epoch over rows in memory, each worker", planned, most)
    one_partition()
    print(
        f"\nFirst limits: in memory, rows take {4 * TOKENS_A_ROW + planner:,.0f} bytes each, so "
        f"64 GiB a node end at {64 * GIB / (4 * TOKENS_A_ROW + planner):.1e} rows, and from there "
        "on they are streamed.\nA task of prepare that selects or encodes rows is given a "
        "reference to each block, or to each partition;\nthe places of all rows, 33 bytes each, "
        "pass through the "
        f"object store of every node: {in_words(33 * 10**9)} of 1e9 rows, spilled where it is full."
    )


if __name__ == "__main__":
    main()
