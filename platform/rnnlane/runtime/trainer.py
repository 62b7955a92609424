"""The driver's side of training: in this process, or on Ray Train workers that may be lost."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import JobError, RnnlaneError
from rnnlane.runtime import cluster
from rnnlane.runtime.checkpoint_store import CheckpointStore
from rnnlane.runtime.observer import Observer
from rnnlane.runtime.worker import worker_loop
from rnnlane.training.checkpoint import BEST
from rnnlane.training.group import in_process
from rnnlane.training.loop import Events, Outcome, Progress, TrainingData, run_training

History = list[dict[str, float]]


logger = logging.getLogger(__name__)


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


def train_on_ray(
    config: ExperimentConfig,
    data: Any,
    *,
    store: CheckpointStore,
    observer: Observer,
    gpus_per_worker: float,
) -> Outcome:
    """Trains on ``runtime.num_workers`` Ray Train workers; Ray must be connected.

    ``data`` is a reference to the TrainingData in Ray's object store.

    Ray Train itself restarts lost workers, up to ``runtime.max_restarts`` times. A lost controller
    and a process group that could not be set up are beyond it: then the whole attempt is made again
    from the newest checkpoint, as often.

    Raises:
        JobError: more processes were lost than ``runtime.max_restarts`` allows.
        RnnlaneError: whatever the worker loop raised.
    """
    for restart in range(config.runtime.max_restarts + 1):
        with _inbox(observer) as inbox:
            setting = {
                # Without the store's address, which may hold a password; workers never log to it.
                "config": config.model_dump(mode="json", exclude={"tracking"}),
                "data": data,
                "inbox": inbox,
                "start": _checkpoint_files(store),
            }
            try:
                return _attempt(config, setting, store=store, gpus_per_worker=gpus_per_worker)
            except _Lost as lost:
                if restart == config.runtime.max_restarts:
                    raise JobError(
                        f"training was lost {restart + 1} times, and runtime.max_restarts is "
                        f"{restart}: {lost}",
                        remedy="look at Ray's logs, then go on with --resume",
                    ) from lost
                observer.note(f"training was lost ({lost}); going on from the last checkpoint")
        time.sleep(min(30.0, 2.0**restart))
    raise AssertionError("unreachable")


class _Lost(Exception):  # noqa: N818 (caught by train_on_ray, never shown as an error)
    """An attempt ended without a result, and another one may succeed."""


def _attempt(
    config: ExperimentConfig,
    setting: dict[str, Any],
    *,
    store: CheckpointStore,
    gpus_per_worker: float,
) -> Outcome:
    """One ``TorchTrainer.fit()``."""
    from ray.exceptions import RayError
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import (
        TrainingFailedError,
        WorkerGroupError,
    )

    runtime = config.runtime
    loop: Any = worker_loop  # Ray's annotation knows no return value, though it is passed on
    trainer = TorchTrainer(
        loop,
        train_loop_config=setting,
        torch_config=TorchConfig(timeout_s=math.ceil(runtime.collective_timeout_s)),
        scaling_config=ScalingConfig(
            num_workers=runtime.num_workers,
            use_gpu=gpus_per_worker > 0,
            resources_per_worker=cluster.worker_resources(runtime.cpus_per_worker, gpus_per_worker),
        ),
        run_config=RunConfig(
            name=store.next_attempt(),
            storage_path=store.root,
            failure_config=FailureConfig(max_failures=runtime.max_restarts),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    try:
        with _own_interrupt(), _ray_found_by_cleaner():
            result: Any = trainer.fit()
    except WorkerGroupError as error:
        causes = sorted(error.worker_failures.items())
        cause = _last_line(causes[0][1]) if causes else _last_line(error)
        raise JobError(
            f"a worker failed more often than runtime.max_restarts "
            f"({runtime.max_restarts}) allows: {cause}",
            where=f"worker {causes[0][0]}" if causes else None,
            remedy="run with -v to see the worker's log; then go on with --resume",
        ) from error
    except (TrainingFailedError, RayError) as error:
        raise _Lost(_last_line(error)) from error
    return _outcome(result.return_value, store)


@contextlib.contextmanager
def _own_interrupt() -> Iterator[None]:
    """Lets Ctrl-C end as one: Ray Train's handler stops the workers, but then exits with code 0."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _ray_found_by_cleaner() -> Iterator[None]:
    """Tells Ray Train's cleaner, which gives back what a stopped run held, which Ray it is part of.

    Without an address it looks for Ray among the machine's processes, and gives up where there are
    several. Train has no public way to set its processes' environment.
    """
    import ray
    from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE

    ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        if before is None:
            del os.environ["RAY_ADDRESS"]
        else:
            os.environ["RAY_ADDRESS"] = before


def _outcome(returned: dict[str, Any], store: CheckpointStore) -> Outcome:
    if "error" in returned:
        error: RnnlaneError = returned["error"]
        raise error
    # Not the attempt's own checkpoint: one that took up a finished run made none.
    with tempfile.TemporaryDirectory() as scratch:
        folder = store.fetch_latest(Path(scratch))
        if folder is None:
            raise JobError(
                "a finished run must have a checkpoint, but there is none",
                where=store.root,
                remedy="check that every node reaches runtime.storage_path",
            )
        weights = load_file(folder / BEST)
    outcome: Outcome = replace(returned["outcome"], weights=weights)
    return outcome


def _checkpoint_files(store: CheckpointStore) -> Any:
    """The newest checkpoint's files, in the object store for workers on other nodes; or None."""
    import ray

    with tempfile.TemporaryDirectory() as scratch:
        folder = store.fetch_latest(Path(scratch))
        if folder is None:
            return None
        return ray.put({file.name: file.read_bytes() for file in sorted(folder.iterdir())})


@contextlib.contextmanager
def _inbox(observer: Observer) -> Iterator[Any]:
    """A queue whose messages reach the observer, in order, on a thread of the driver."""
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    inbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    thread = threading.Thread(target=_listen, args=(inbox, observer), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        with contextlib.suppress(Exception):
            inbox.put(None)
            thread.join(timeout=10)
            inbox.shutdown(force=True)


def _listen(inbox: Any, observer: Observer) -> None:
    from ray.exceptions import RayError
    from ray.util.queue import Empty

    while True:
        try:
            message = inbox.get(timeout=60)
        except Empty:
            continue
        except RayError:
            return
        if message is None:
            return
        try:
            if isinstance(message, Progress):
                observer.progress(message)
            else:
                observer.epoch(message)
        except Exception:
            # Epochs are told again in full with the next one, and at the end.
            logger.exception("a message from the workers could not be handled")


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
