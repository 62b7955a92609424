"""The steps of an epoch, launched one after the other: of a classifier and of a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import torch

from rnnlane.training.checkpoint import Checkpointer
from rnnlane.training.in_flight import StepsInFlight, default_limit
from rnnlane.training.monitor import EpochMonitor
from rnnlane.training.schedule import learning_rate
from rnnlane.training.step_result import LaunchedStep

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)


class Feed(Protocol[BatchT_co]):
    """The batches of one worker."""

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""

    def steps(self, epoch: int, *, start: int = 0) -> Iterator[BatchT_co]:
        """The steps of an epoch, beginning with step ``start``."""


class TakesSteps(Protocol[BatchT_contra]):
    """Takes optimizer steps on one worker's replica of a model."""

    def __call__(
        self, batch: BatchT_contra, /, *, max_norm: float | None, rate: float, save: bool
    ) -> LaunchedStep:
        """Launches one step; see :class:`rnnlane.training.step.Stepper`."""


def take_steps(
    stepper: TakesSteps[BatchT],
    feed: Feed[BatchT],
    *,
    monitor: EpochMonitor,
    device: torch.device,
    checkpointer: Checkpointer,
    save: Callable[[], None],
) -> tuple[float, bool]:
    """Takes the steps that are left of the epoch under way.

    Args:
        stepper: takes them.
        feed: has them.
        monitor: follows the epoch, and adds the steps to the state of the training.
        device: of the steps.
        checkpointer: knows when a checkpoint is due.
        save: saves one in the middle of the epoch.

    Returns:
        The last learning rate, and whether a checkpoint is asked for.
    """
    state, training = monitor.state, monitor.config
    assert state.clip is not None
    in_flight = StepsInFlight(default_limit(device))
    # A refit has the rates that the epochs chosen among had.
    history = state.history[: state.number - 1]
    total, before = training.epochs * feed.num_steps, (state.number - 1) * feed.num_steps
    asked, rate = False, 0.0
    for step, batch in enumerate(feed.steps(state.number, start=state.step), start=state.step):
        rate = learning_rate(training, step=before + step, num_steps=total, history=history)
        wants = checkpointer.is_due(ends_epoch=step == feed.num_steps - 1)
        in_flight.add(stepper(batch, max_norm=state.clip.max_norm, rate=rate, save=wants))
        asked = monitor.add(in_flight.take_due())
        if asked and state.step < feed.num_steps:
            save()
            monitor.restart_clock()
    return rate, monitor.add(in_flight.take_all()) or asked
