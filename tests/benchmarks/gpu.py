"""Training on one GPU: rnnlane's steps against the plain loop on the same device, and their parts.

What is measured is bound by seconds, not by steps, so that a row comes within a minute however slow
a side is. Everything takes a device, so that it can be tried on a CPU.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.kernels import busy_share, kernels_of, largest, recurrent_share
from benchmarks.measure import ROOT, Row, alternate, medians, row, skipped
from benchmarks.our_loop import VOCABULARY_SIZE, OurLoop, reviews
from benchmarks.plain_loop import PlainLoop
from rnnlane.config import ExperimentConfig, load_experiment
from rnnlane.models import recurrent
from rnnlane.training.group import WorkerGroup
from rnnlane.training.memory import set_torch_variables

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
    if device is None:
        if not torch.cuda.is_available():
            title = f"{name}, GPU, batch {batch_size}: against the plain loop"
            yield skipped(title, "torch sees no GPU")
            return
        device = torch.device("cuda")
    set_torch_variables()
    measured = _Measured(name, batch_size, effort, device, overrides)
    yield from measured.speed()
    yield from measured.streams()
    yield from measured.device_busy()
    yield measured.feed()


@contextlib.contextmanager
def _two_streams() -> Iterator[None]:
    """In this block, a GPU runs the two directions of a layer at once."""
    before, recurrent.TWO_STREAMS = recurrent.TWO_STREAMS, True
    try:
        yield
    finally:
        recurrent.TWO_STREAMS = before


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
        self._name, self._batch_size = name, batch_size
        self._effort, self._device = effort, device
        self._config = load_experiment(
            ROOT / "experiments" / f"{name}.yaml",
            [f"training.global_batch_size={batch_size}", *overrides],
        )
        self._split = reviews(effort.num_rows)
        self._eager = self._warmed_up(self._config)
        graphs = self._config.training.model_copy(update={"cuda_graphs": True})
        captured = self._config.model_copy(update={"training": graphs})
        self._graphs = self._warmed_up(captured)
        self._two_streams: OurLoop | None = None
        if captured.model.bidirectional:
            with _two_streams():
                self._two_streams = self._warmed_up(captured)
        self._rows_per_s = 0.0

    def _warmed_up(self, config: ExperimentConfig) -> OurLoop:
        group = WorkerGroup(rank=0, world_size=1, device=self._device)
        loop = OurLoop(group, config, split=self._split)
        loop.rows_per_s(num_steps=loop.num_steps, seconds=self._effort.warm_up_s)
        return loop

    def _title(self, subject: str) -> str:
        return f"{self._name}, GPU, batch {self._batch_size}: {subject}"

    def speed(self) -> Iterator[Row]:
        """Against the plain loop, against the goal, and with graphs against without."""
        plain = PlainLoop(
            self._config.model,
            self._split,
            vocabulary_size=VOCABULARY_SIZE,
            batch_size=self._batch_size,
            device=self._device,
        )
        plain.rows_per_s(num_steps=2)
        rounds = alternate(
            *map(self._side, (self._graphs, self._eager, plain)), rounds=self._effort.rounds
        )
        graphs, eager, loop = medians(rounds)
        self._rows_per_s = graphs
        yield row(
            self._title("against the plain loop"),
            [ours / theirs for ours, _, theirs in rounds],
            goal=AGAINST_PLAIN if self._batch_size == min(BATCH_SIZES) else None,
            details={"rows/s": graphs, "without graphs": eager, "plain loop": loop}
            | self._memory(),
        )
        if goal := GOALS.get((self._name, self._batch_size)):
            yield row(
                self._title(f"of {goal:,} rows/s"), [ours / goal for ours, *_ in rounds], goal=1.0
            )
        yield row(
            self._title("graphs against launched kernels"),
            [ours / launched for ours, launched, _ in rounds],
            details={f"note {number}": note for number, note in enumerate(self._graphs.notes, 1)},
        )

    def streams(self) -> Iterator[Row]:
        """Both directions of a layer at once against one after the other, as graphs."""
        if self._two_streams is None:
            return
        side = self._side(self._two_streams)

        def at_once() -> float:
            with _two_streams():
                return side()

        rounds = alternate(at_once, self._side(self._graphs), rounds=self._effort.rounds)
        yield row(
            self._title("two streams against one"),
            [two / one for two, one in rounds],
            details={"two streams rows/s": medians(rounds)[0]},
        )

    def _side(self, loop: OurLoop | PlainLoop) -> Callable[[], float]:
        return functools.partial(loop.rows_per_s, seconds=self._effort.seconds)

    def _memory(self) -> dict[str, float | str]:
        if self._device.type != "cuda":
            return {}
        name, most = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated()
        return {"device": name, "most memory of all sides GB": most / 1e9}

    def device_busy(self) -> Iterator[Row]:
        """The share of the time in which the device works, and what it works on."""
        steps = self._effort.profiled_steps
        for subject, side, goal in (
            ("device busy", self._graphs, BUSY),
            ("device busy, without graphs", self._eager, None),
        ):
            kernels = kernels_of(functools.partial(side.rows_per_s, num_steps=steps), self._device)
            yield row(
                self._title(subject),
                [busy_share(kernels)],
                goal=goal,
                details={
                    "in recurrent kernels": f"{recurrent_share(kernels):.0%}",
                    "kernels a step": len(kernels) / steps,
                    "largest": largest(kernels),
                },
            )

    def feed(self) -> Row:
        """Making batches alone against whole steps: far above 1 unless steps wait for the feed."""
        taken, started = 0, time.perf_counter()
        for _ in self._graphs.feed_alone():
            taken += 1
            took = time.perf_counter() - started
            if took >= self._effort.seconds:
                break
        alone = self._batch_size * taken / took
        return row(
            self._title("the feed alone against whole steps"),
            [alone / self._rows_per_s],
            details={"feed rows/s": alone},
        )
