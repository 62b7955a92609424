"""Train read from shards, against train in memory and against what training takes."""

from __future__ import annotations

import functools
import multiprocessing as mp
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import ROUNDS, Row, alternate, medians, row
from benchmarks.our_loop import OurLoop, reviews
from benchmarks.steps import NUM_STEPS, experiment
from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import FileSplit
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.execution.streaming import made_shards
from rnnlane.records.events import RunEvents
from rnnlane.training.group import WorkerGroup
from rnnlane.training.metrics import score
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
    shards = made_shards(prepared_of(folder / "streamed", split, 2), "train", RunEvents())
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


def memory_rows(folder: Path) -> list[Row]:
    """The memory of a process that reads an epoch of train, and scores a val of a tenth as many."""
    peaks = {}
    for times in (1, 10, 100):
        home, num_rows = folder / f"times-{times}", times * NUM_ROWS
        split = _short_rows(num_rows)
        train = prepared_of(home / "train", split, 2, num_files=times)
        shards = made_shards(train, "train", RunEvents())
        streamed = StreamedSplit(shards, window_tokens=WINDOW_TOKENS // 4)
        held = split.take(np.arange(num_rows // 10))
        val = prepared_of(home / "val", held, 2, num_files=times, name="val")
        with mp.get_context("spawn").Pool(1) as pool:
            arguments = (streamed, FileSplit(val, "val", piece_bytes=2**18))
            peaks[times] = pool.apply(_peak_bytes, arguments)
    return [
        row(
            "streaming: memory at 100 times the rows",
            [peaks[100] / peaks[1]],
            goal=1.1,
            is_limit=True,
            details={f"MB at {times} x {NUM_ROWS:,}": peaks[times] / 1e6 for times in peaks},
        )
    ]


def _short_rows(num_rows: int) -> EncodedSplit:
    """So that what grows with the rows is seen beside what grows with the tokens."""
    random = np.random.default_rng(0)
    lengths = random.integers(10, 70, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = random.integers(2, 30_000, offsets[-1]).astype(np.int32)
    labels = random.integers(0, 2, num_rows)
    return EncodedSplit(token_ids, offsets, labels, np.zeros(0, np.uint32))


def _peak_bytes(train: StreamedSplit, val: FileSplit) -> int:
    assert _read_rows_per_cpu_s(train) > 0
    alone = WorkerGroup(0, 1, torch.device("cpu"))
    scores = score(lambda token_ids, _: token_ids[:, :2].float(), val, group=alone)
    assert len(scores.losses) == len(val)
    # What getrusage tells is at least what the process had that this one was started by.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])


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
