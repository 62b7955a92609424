"""Train read from shards, against train in memory and against what training takes."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.measure import ROUNDS, Row, alternate, medians, row
from benchmarks.our_loop import OurLoop, reviews
from benchmarks.steps import NUM_STEPS, experiment
from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.execution.streaming import made_shards
from rnnlane.records.events import RunEvents
from rnnlane.training.group import WorkerGroup
from support.shards import prepared_of
from support.workers import in_worker_group

NUM_ROWS = 20_000
# A GPU is fed by four cores, and takes some 60,000 rows of this length a second at most.
GPU_ROWS_PER_S = 60_000
NUM_CORES = 4
# So that the rows are several windows.
WINDOW_TOKENS = 2**20


def streaming_rows(name: str, folder: Path) -> list[Row]:
    """What a core reads, and steps of two workers whose rows are streamed."""
    split = replace(reviews(NUM_ROWS), unknown_keys=np.zeros(0, np.uint32))
    shards = made_shards(prepared_of(folder / "streamed", split, 2), RunEvents())
    streamed = StreamedSplit(shards, window_tokens=WINDOW_TOKENS)
    config = experiment(name)
    speeds = [_read_rows_per_cpu_s(streamed) for _ in range(ROUNDS)]
    middle = sorted(speeds)[ROUNDS // 2]

    def speed(rows: EncodedSplit | StreamedSplit) -> float:
        found = in_worker_group(2, _fed_rows_per_s, config, rows, NUM_STEPS[name])
        return float(found[0])

    rounds = alternate(functools.partial(speed, streamed), functools.partial(speed, split))
    from_shards, from_memory = medians(rounds)
    return [
        row(
            f"shards: {NUM_CORES} cores read, against what a GPU takes",
            [NUM_CORES * each / GPU_ROWS_PER_S for each in speeds],
            goal=1.0,
            details={
                "rows/s a core": middle,
                "MB/s a core": middle * 4e-6 * len(split.token_ids) / NUM_ROWS,
            },
        ),
        row(
            f"{name}, 2 workers: streamed against in memory",
            [first / second for first, second in rounds],
            goal=0.97,
            details={"streamed rows/s": from_shards, "in memory": from_memory},
        ),
    ]


def _read_rows_per_cpu_s(split: StreamedSplit) -> float:
    """Rows that are decoded, checked and dealt to steps in a second of a core."""
    started, num_rows = time.process_time(), 0
    with split.epoch(global_batch_size=32, seed=0, epoch=1, max_buckets=50) as epoch:
        for name, steps in epoch.windows(0):
            num_rows += sum(len(step.rows) for step in steps)
            epoch.forget(name)
    assert num_rows == len(split)
    return num_rows / (time.process_time() - started)


def _fed_rows_per_s(
    group: WorkerGroup,
    config: ExperimentConfig,
    split: EncodedSplit | StreamedSplit,
    num_steps: int,
) -> float:
    return OurLoop(group, config, split=split).rows_per_s(num_steps=num_steps)
