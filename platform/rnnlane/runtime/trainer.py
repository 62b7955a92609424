"""Training in the driver itself, without Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.runtime.checkpoint_store import CheckpointStore
from rnnlane.runtime.observer import Observer
from rnnlane.training.group import in_process
from rnnlane.training.loop import Events, Outcome, Progress, TrainingData, run_training

History = list[dict[str, float]]


class _LocalEvents:
    """Events of a loop that runs in the driver itself."""

    def __init__(self, observer: Observer, store: CheckpointStore, attempt: str):
        self._observer = observer
        self._store = store
        self._attempt = attempt

    def progress(self, progress: Progress) -> None:
        self._observer.progress(progress)

    def epoch(self, history: History) -> None:
        self._observer.epoch(history)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        self._store.add(self._attempt, write)


def train_here(
    config: ExperimentConfig, data: TrainingData, *, store: CheckpointStore, observer: Observer
) -> Outcome:
    """Trains in this process, going on from the newest checkpoint in the store if there is one."""
    events: Events = _LocalEvents(observer, store, store.next_attempt())
    with tempfile.TemporaryDirectory() as scratch:
        start = store.fetch_latest(Path(scratch))
        return run_training(
            config, data, group=in_process(config.runtime.device), events=events, start=start
        )
