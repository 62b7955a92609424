"""Training on one GPU: rnnlane's steps against the plain loop on the same device."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.measure import ROOT, Row, alternate, medians, row, skipped
from benchmarks.our_loop import VOCABULARY_SIZE, our_rows_per_s, reviews
from benchmarks.plain_loop import plain_rows_per_s
from rnnlane.config import ExperimentConfig, load_experiment
from rnnlane.models.recurrent import RecurrentEncoder
from rnnlane.training.group import WorkerGroup

NUM_STEPS = 100


def gpu_rows(name: str, _: Path) -> list[Row]:
    """At a small and a large batch, with the share of the time that the device is busy."""
    if not torch.cuda.is_available():
        return [skipped(f"{name}, GPU: against the plain loop", "torch sees no GPU")]
    group = WorkerGroup(rank=0, world_size=1, device=torch.device("cuda"))
    split = reviews(16_384)
    rows = []
    for batch_size in (32, 512):
        config = load_experiment(
            ROOT / "experiments" / f"{name}.yaml", [f"training.global_batch_size={batch_size}"]
        )
        rounds = alternate(
            lambda config=config: our_rows_per_s(group, config, NUM_STEPS),
            lambda config=config, batch_size=batch_size: plain_rows_per_s(
                config.model,
                split,
                vocabulary_size=VOCABULARY_SIZE,
                num_steps=NUM_STEPS,
                batch_size=batch_size,
                device=group.device,
            ),
        )
        mine, loop = medians(rounds)
        paths = alternate(
            lambda config=config: _padded_rows_per_s(group, config),
            lambda config=config: our_rows_per_s(group, config, NUM_STEPS),
        )
        busy = _busy_share(lambda config=config: our_rows_per_s(group, config, 20))
        rows.append(
            row(
                f"{name}, GPU, batch {batch_size}: against the plain loop",
                [first / second for first, second in rounds],
                details={
                    "device": torch.cuda.get_device_name(),
                    "rnnlane rows/s": mine,
                    "plain loop": loop,
                    "device busy": f"{busy:.0%}",
                },
            )
        )
        # cuDNN has a kernel that keeps small layers on the chip, but not for packed rows.
        rows.append(
            row(
                f"{name}, GPU, batch {batch_size}: padded rows against packed ones",
                [padded / packed for padded, packed in paths],
            )
        )
    return rows


def _padded_rows_per_s(group: WorkerGroup, config: ExperimentConfig) -> float:
    """Of our loop with the path of CPUs."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        patch.setattr(RecurrentEncoder, "_packed", RecurrentEncoder._padded)
        return our_rows_per_s(group, config, NUM_STEPS)


def _busy_share(work: Callable[[], object]) -> float:
    """Share of the wall time in which a kernel runs on the device."""
    from torch.profiler import ProfilerActivity, profile

    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    busy = sum(event.self_device_time_total for event in profiler.key_averages())
    return busy / 1e6 / seconds
