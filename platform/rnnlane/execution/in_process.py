"""Training in the driver itself, without Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.training.group import in_process
from rnnlane.training.loop import Outcome, TrainingData, run_training

History = list[dict[str, float]]


class _LocalEvents(RunEvents):
    """Events of a loop that runs in the driver itself."""

    def __init__(self, events: RunEvents, store: CheckpointStore, attempt: str):
        self._events = events
        self._store = store
        self._attempt = attempt

    def progress(self, progress: Progress) -> None:
        self._events.progress(progress)

    def epoch(self, history: History) -> None:
        self._events.epoch(history)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        self._store.add(self._attempt, write)


def train_here(
    config: ExperimentConfig, data: TrainingData, *, store: CheckpointStore, events: RunEvents
) -> Outcome:
    """Trains in this process, going on from the newest checkpoint in the store if there is one."""
    told = _LocalEvents(events, store, store.next_attempt())
    with tempfile.TemporaryDirectory() as scratch:
        start = store.fetch_latest(Path(scratch))
        return run_training(
            config, data, group=in_process(config.runtime.device), events=told, start=start
        )
