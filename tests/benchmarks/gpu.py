"""Training on one GPU: rnnlane's steps against the plain loop on the same device, and their parts.

What is measured is bound by seconds, not by steps, so that a row comes within a minute however slow
a side is. Everything takes a device, so that it can be tried on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.kernels import busy_share, kernels_of, largest, recurrent_share
from benchmarks.measure import ROOT, Row, alternate, medians, row, skipped
from benchmarks.our_loop import VOCABULARY_SIZE, OurLoop, reviews
from benchmarks.plain_loop import PlainLoop
from rnnlane.config import ExperimentConfig, load_experiment
from rnnlane.training.group import WorkerGroup

BATCH_SIZES = (32, 512)
# Rows a second of one H100 or H200.
GOALS = {("bilstm-3", 32): 14_000, ("bilstm-3", 512): 60_000, ("lstm-1", 32): 50_000}
AGAINST_PLAIN, BUSY = 20.0, 0.85


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        seconds: of each side in each round.
        rounds: in which the sides take turns.
        warm_up_s: most seconds of the epoch by which each of our sides is warmed up.
        profiled_steps: under the profiler.
        num_rows: of the train split.
    """

    seconds: float = 2.0
    rounds: int = 3
    warm_up_s: float = 8.0
    profiled_steps: int = 40
    num_rows: int = 16_384


def gpu_rows(
    name: str,
    batch_size: int,
    _: Path | None = None,
    *,
    effort: Effort = Effort(),
    device: torch.device | None = None,
    overrides: tuple[str, ...] = (),
) -> Iterator[Row]:
    """One shipped experiment at one batch size; each row as soon as it is measured.

    Args:
        name: of the experiment.
        batch_size: rows of a step.
        effort: how much is measured.
        device: default: the GPU, without which one row says that there is none.
        overrides: of the experiment.
    """
    title = f"{name}, GPU, batch {batch_size}:"
    if device is None:
        if not torch.cuda.is_available():
            yield skipped(f"{title} against the plain loop", "torch sees no GPU")
            return
        device = torch.device("cuda")
    measured = _Measured(name, batch_size, effort, device, overrides)
    yield from measured.speed(title)
    yield measured.device_busy(title)
    yield measured.feed(title)


class _Measured:
    """The sides of one experiment at one batch size, warmed up."""

    def __init__(
        self,
        name: str,
        batch_size: int,
        effort: Effort,
        device: torch.device,
        overrides: tuple[str, ...],
    ):
        self._key, self._effort, self._device = (name, batch_size), effort, device
        self._config = load_experiment(
            ROOT / "experiments" / f"{name}.yaml",
            [f"training.global_batch_size={batch_size}", *overrides],
        )
        self._split = reviews(effort.num_rows)
        self._group = WorkerGroup(rank=0, world_size=1, device=device)
        self._eager = self._warmed_up(self._config)
        self._rows_per_s = 0.0

    def _warmed_up(self, config: ExperimentConfig) -> OurLoop:
        loop = OurLoop(self._group, config, split=self._split)
        loop.rows_per_s(num_steps=loop.feed.num_steps, seconds=self._effort.warm_up_s)
        return loop

    def speed(self, title: str) -> Iterator[Row]:
        """Against the plain loop, and against the goal."""
        effort, device = self._effort, self._device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        plain = PlainLoop(
            self._config.model,
            self._split,
            vocabulary_size=VOCABULARY_SIZE,
            batch_size=self._key[1],
            device=device,
        )
        plain.rows_per_s(num_steps=2)
        sides = [self._eager, plain]
        rounds = alternate(
            *(lambda side=side: side.rows_per_s(seconds=effort.seconds) for side in sides),
            rounds=effort.rounds,
        )
        self._rows_per_s, loop = medians(rounds)
        details: dict[str, float | str] = {"rnnlane rows/s": self._rows_per_s, "plain loop": loop}
        if device.type == "cuda":
            details["device"] = torch.cuda.get_device_name(device)
            details["most memory GB"] = torch.cuda.max_memory_allocated(device) / 1e9
        yield row(
            f"{title} against the plain loop",
            [ours / theirs for ours, theirs in rounds],
            goal=AGAINST_PLAIN if self._key[1] == min(BATCH_SIZES) else None,
            details=details,
        )
        if goal := GOALS.get(self._key):
            yield row(f"{title} of {goal:,} rows/s", [ours / goal for ours, _ in rounds], goal=1.0)

    def device_busy(self, title: str) -> Row:
        """The share of the time in which the device works, and what it works on."""
        steps = self._effort.profiled_steps
        kernels = kernels_of(lambda: self._eager.rows_per_s(num_steps=steps), self._device)
        return row(
            f"{title} device busy",
            [busy_share(kernels)],
            goal=BUSY,
            details={
                "in recurrent kernels": f"{recurrent_share(kernels):.0%}",
                "kernels a step": len(kernels) / steps,
                "largest": largest(kernels),
            },
        )

    def feed(self, title: str) -> Row:
        """Making batches alone against whole steps: far above 1 unless steps wait for the feed."""
        batches, taken = self._eager.feed.steps(1), 0
        started = time.perf_counter()
        for _ in batches:
            taken += 1
            if time.perf_counter() - started >= self._effort.seconds:
                break
        alone = self._key[1] * taken / (time.perf_counter() - started)
        return row(
            f"{title} the feed alone against whole steps",
            [alone / self._rows_per_s],
            details={"feed rows/s": alone},
        )
