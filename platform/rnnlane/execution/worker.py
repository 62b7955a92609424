"""What runs in each Ray Train worker: the worker loop, with Ray as the outside."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import TrainingError
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TrainingData, run_training


class RayEvents(RunEvents):
    """Sends news to the driver's queue and checkpoints to Ray Train's storage."""

    def __init__(self, inbox: Any, *, is_first: bool):
        self._inbox = inbox
        self._is_first = is_first

    def progress(self, progress: Progress) -> None:
        """Tells the driver; the first worker speaks for all."""
        self._send(progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Tells the driver; the first worker speaks for all."""
        self._send(list(history))

    def note(self, text: str) -> None:
        """Tells the driver; the first worker speaks for all."""
        self._send(text)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        """Stores a checkpoint; a barrier over the workers."""
        import ray.train

        if not self._is_first:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def _send(self, message: Any) -> None:
        if not self._is_first:
            return
        # News may be lost with the driver's node: each message about epochs holds all of them.
        with contextlib.suppress(RayError):
            self._inbox.put_nowait(message)


def worker_loop(setting: dict[str, Any]) -> dict[str, Any]:
    """Trains on this worker.

    Args:
        setting: ``config`` (plain values), ``data`` (reference to TrainingData in the object
            store), ``inbox`` (queue to the driver), ``start`` (reference to the files of a
            checkpoint to go on from, or None).

    Returns:
        ``outcome`` without weights, which the last checkpoint has; or ``error``. A TrainingError
        is returned, not raised, because Ray would restart the workers for it; it comes of numbers
        that all workers share, so that all of them return.
    """
    import ray
    import ray.train
    import ray.train.torch

    config = ExperimentConfig.model_validate(setting["config"])
    context = ray.train.get_context()
    group = WorkerGroup(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
    )
    data: TrainingData = ray.get(setting["data"])
    events = RayEvents(setting["inbox"], is_first=group.is_first)
    if config.runtime.is_elastic:
        events.note(f"training with num_workers {group.world_size}")
    with tempfile.TemporaryDirectory() as scratch:
        start = _start_folder(setting["start"], Path(scratch))
        try:
            outcome = run_training(config, data, group=group, events=events, start=start)
        except TrainingError as error:
            return {"error": error}
    return {"outcome": replace(outcome, weights={})}


def _start_folder(files: Any, scratch: Path) -> Path | None:
    """The checkpoint to go on from: this attempt's own newest one, else the one given."""
    import ray
    import ray.train

    newest = ray.train.get_checkpoint()
    if newest is not None:
        return Path(newest.to_directory(str(scratch / "newest")))
    if files is None:
        return None
    for name, content in ray.get(files).items():
        (scratch / name).write_bytes(content)
    return scratch
