"""What runs in each Ray Train worker: the training loop, with Ray for events and checkpoints."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import RnnlaneError, disk_error, is_disk_error, redact
from rnnlane.execution.checkpoint_store import errors_name
from rnnlane.execution.sampling import sampled
from rnnlane.execution.scratch import scratch_folder
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.records.system_use import SystemUse
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TrainingData, TrainingLoop
from rnnlane.training.memory import readable_memory_errors

# A step takes the positions of its texts one after the other, however few its rows are. By times
# measured on an H200, with fewer rows more than half of a step does not get shorter with them.
ROWS_PER_GPU = 64


@contextlib.contextmanager
def final_disk_errors(place: str) -> Iterator[None]:
    """Tells of a full or unusable disk on this node, which no restart mends.

    Other failures to read or write pass, such as those of a network.

    Args:
        place: folder or URI that is written in the block.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    try:
        yield
    except RnnlaneError:
        raise
    except Exception as error:
        if is_disk_error(error):
            raise disk_error(error, redact(place)) from error
        raise


class RayEvents(RunEvents):
    """Sends events to the driver's queue and checkpoints to Ray Train's storage.

    Only the first worker sends, because all workers have the same events, but for samples of their
    devices.

    Args:
        inbox: queue to the driver.
        is_first: whether this is the first worker.
        storage: folder or URI where Ray Train stores checkpoints, for errors.
    """

    def __init__(self, inbox: Any, *, is_first: bool, storage: str):
        self._inbox = inbox
        self._is_first = is_first
        self._storage = storage

    def progress(self, progress: Progress) -> None:
        """Sends how far the epoch is."""
        self._send("progress", progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Sends the records of all finished epochs."""
        self._send("epoch", list(history))

    def saved(self, history: list[dict[str, float]]) -> None:
        """Sends the records of all epochs that a checkpoint has."""
        self._send("saved", list(history))

    def note(self, text: str) -> None:
        """Sends a sentence for people."""
        self._send("note", text)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        """Stores a checkpoint. All workers must call it: Ray Train waits for each of them."""
        import ray.train

        if not self._is_first:
            ray.train.report({})
            return
        with scratch_folder() as folder:
            with final_disk_errors(str(folder)):
                write(folder)
            with final_disk_errors(self._storage):
                ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))

    def system_use(self, use: SystemUse) -> None:
        """Sends a sample, each worker its own."""
        self._put("system_use", use)

    def _send(self, method: str, argument: Any) -> None:
        if self._is_first:
            self._put(method, argument)

    def _put(self, method: str, argument: Any) -> None:
        # Losing an event is harmless: each event about epochs holds all of them.
        with contextlib.suppress(RayError):
            self._inbox.put_nowait((method, argument))


def for_workers(config: ExperimentConfig) -> ExperimentConfig:
    """An experiment without the store's address, which may hold a password: workers never log."""
    tracking = TrackingConfig(system_metrics=config.tracking.system_metrics)
    return config.model_copy(update={"tracking": tracking})


def worker_loop(setting: dict[str, Any]) -> dict[str, Any]:
    """Trains on this worker.

    Args:
        setting: ``config`` (plain values), ``data`` (reference to TrainingData in the object
            store), ``inbox`` (queue to the driver), ``start`` (reference to the files of the
            checkpoint to resume from, or None), ``checkpoints`` (where those come from), ``loop``
            (the training loop).

    Returns:
        ``outcome`` without weights, which the last checkpoint has; its predictions come from the
        first worker alone.

    Raises:
        RnnlaneError: what no restart can mend: the driver gives up.
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
    run_loop: TrainingLoop = setting["loop"]
    events = RayEvents(setting["inbox"], is_first=group.is_first, storage=setting["checkpoints"])
    with (
        final_disk_errors(tempfile.gettempdir()),
        scratch_folder() as scratch,
        readable_memory_errors(),
        sampled(config, group, events=events),
    ):
        start = _start_folder(setting["start"], scratch)
        for note in _notes(config, group, is_new=start is None):
            events.note(note)
        with errors_name(setting["checkpoints"]):
            outcome = run_loop(config, data, group=group, events=events, start=start)
    predictions = outcome.predictions if group.is_first else {}
    return {"outcome": replace(outcome, weights={}, predictions=predictions)}


def _notes(config: ExperimentConfig, group: WorkerGroup, *, is_new: bool) -> Iterator[str]:
    """What a person should know of the workers of this attempt; ``is_new``: it is the first."""
    is_elastic, workers = config.runtime.is_elastic, group.world_size
    if is_elastic:
        yield f"training with num_workers {workers}"
    rows = config.training.global_batch_size
    fewer = math.ceil(rows / ROWS_PER_GPU)
    if group.device.type == "cuda" and fewer < workers and (is_new or is_elastic):
        yield (
            f"{workers} GPUs share {rows} rows a step, {rows / workers:.3g} each: a step takes "
            f"about as long as on {fewer}; raise training.global_batch_size to "
            f"{workers * ROWS_PER_GPU} or more, or use fewer workers"
        )


def _start_folder(files: Any, scratch: Path) -> Path | None:
    """The checkpoint to resume from: this attempt's own newest one, else the given files."""
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
