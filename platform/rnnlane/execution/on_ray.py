"""Training on Ray Train workers, any of which may be lost: the driver's side."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train.torch import TorchConfig
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR as START_TIMEOUT
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from safetensors.torch import load_file

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.errors import JobError, RnnlaneError
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.restarts import RestartPolicy, describe_loss
from rnnlane.execution.worker import worker_loop
from rnnlane.ray_cluster import connect as cluster
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.training.checkpoint import BEST
from rnnlane.training.loop import Outcome
from rnnlane.training.memory import HUGE_PAGES

ELASTIC_START_TIMEOUT_S = "20"

logger = logging.getLogger(__name__)


def train_on_ray(
    config: ExperimentConfig,
    data: Any,
    *,
    store: CheckpointStore,
    events: RunEvents,
    gpus_per_worker: float,
) -> Outcome:
    """Trains on ``runtime.num_workers`` Ray Train workers; Ray must be connected.

    ``data`` is a reference to the TrainingData in Ray's object store.

    Ray Train itself restarts nothing, as it knows only some of what can be lost: whatever it was,
    the run is made again from the newest checkpoint, up to ``runtime.max_restarts`` times.

    Raises:
        JobError: more was lost than ``runtime.max_restarts`` allows.
        RnnlaneError: whatever the worker loop raised.
    """
    policy = RestartPolicy(config.runtime.max_restarts)
    each = cluster.worker_needs(config.runtime, gpus_per_worker)
    nodes = cluster.alive_nodes()
    while True:
        _wait_for_nodes(config.runtime, gpus_per_worker, events)
        try:
            return _attempt(
                config, data, store=store, events=events, gpus_per_worker=gpus_per_worker
            )
        except (TrainingFailedError, RayError, OSError) as error:
            nodes = _tell_lost_nodes(nodes, events)
            restart = policy.decide(describe_loss(error, each=each))
        if restart.note:
            events.note(restart.note)
        time.sleep(restart.wait_s)


def _wait_for_nodes(runtime: RuntimeConfig, gpus_per_worker: float, events: RunEvents) -> None:
    """Returns when the cluster is large enough, with what it is used for left out."""
    if cluster.is_large_enough(runtime, gpus_per_worker):
        return
    each = cluster.worker_needs(runtime, gpus_per_worker)
    events.note(f"waiting for nodes: {runtime.min_workers} workers x {each} are needed")
    while not cluster.is_large_enough(runtime, gpus_per_worker):
        time.sleep(1.0)


def _tell_lost_nodes(before: dict[str, str], events: RunEvents) -> dict[str, str]:
    """Names the nodes that are gone, as far as Ray has noticed by now; returns those there are."""
    now = cluster.alive_nodes()
    for node in sorted(before.keys() - now.keys()):
        events.note(f"node {before[node]} was lost")
    return now


def _attempt(
    config: ExperimentConfig,
    data: Any,
    *,
    store: CheckpointStore,
    events: RunEvents,
    gpus_per_worker: float,
) -> Outcome:
    """One ``TorchTrainer.fit()`` from the newest checkpoint on."""
    with _inbox(events) as inbox:
        setting = {
            # Without the store's address, which may hold a password; workers never log to it.
            "config": config.model_dump(mode="json", exclude={"tracking"}),
            "data": data,
            "inbox": inbox,
            "start": _checkpoint_files(store),
        }
        trainer = _trainer(config, setting, store=store, gpus_per_worker=gpus_per_worker)
        with _own_interrupt(), _told_to_controller(config.runtime):
            try:
                result: Any = trainer.fit()
            except RayError:
                _release_room(trainer.train_run_context.run_id)
                raise
    return _outcome(result.return_value, store)


def _trainer(
    config: ExperimentConfig,
    setting: dict[str, Any],
    *,
    store: CheckpointStore,
    gpus_per_worker: float,
) -> TorchTrainer:
    runtime = config.runtime
    loop: Any = worker_loop  # Ray's annotation knows no return value, though it is passed on
    return TorchTrainer(
        loop,
        train_loop_config=setting,
        torch_config=TorchConfig(timeout_s=math.ceil(runtime.collective_timeout_s)),
        scaling_config=ScalingConfig(
            num_workers=runtime.num_workers,
            elastic_resize_monitor_interval_s=runtime.resize_every_s,
            use_gpu=gpus_per_worker > 0,
            resources_per_worker=cluster.worker_resources(runtime.cpus_per_worker, gpus_per_worker),
        ),
        run_config=RunConfig(
            name=store.next_attempt(),
            storage_path=store.root,
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )


def _release_room(run_id: str) -> None:
    """Takes back the claim on the cluster of a controller that died, for the next one to have.

    It would stand for three minutes, in which elastic workers find no room.
    """
    with contextlib.suppress(ValueError, RayError):
        coordinator: Any = ray.get_actor("AutoscalingCoordinator", "AutoscalingCoordinator")
        ray.get(coordinator.cancel_request.remote(f"train-{run_id}"), timeout=10)


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
def _told_to_controller(runtime: RuntimeConfig) -> Iterator[None]:
    """Environment variables for Ray Train's processes, while its block runs.

    ``RAY_ADDRESS`` tells its cleaner, which gives back what a stopped run held, which Ray it is
    part of; without it, it looks among the machine's processes and gives up where it sees several.
    Train has no public way to set its processes' environment.

    Elastic workers get little time to find room: Train's view of it may be 20 s old, and a lost
    node would be waited for.
    """
    values = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    if runtime.is_elastic and START_TIMEOUT not in os.environ:
        values[START_TIMEOUT] = ELASTIC_START_TIMEOUT_S
    values |= {name: os.environ.get(name, value) for name, value in HUGE_PAGES.items()}
    ENV_VARS_TO_PROPAGATE.update({"RAY_ADDRESS", *HUGE_PAGES})
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
    with tempfile.TemporaryDirectory() as scratch:
        folder = store.fetch_latest(Path(scratch))
        if folder is None:
            return None
        return ray.put({file.name: file.read_bytes() for file in sorted(folder.iterdir())})


@contextlib.contextmanager
def _inbox(events: RunEvents) -> Iterator[Any]:
    """A queue whose messages reach the events, in order, on a thread of the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    inbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    thread = threading.Thread(target=_listen, args=(inbox, events), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        with contextlib.suppress(Exception):
            inbox.put(None)
            thread.join(timeout=10)
            inbox.shutdown(force=True)


def _listen(inbox: Any, events: RunEvents) -> None:
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
                events.progress(message)
            elif isinstance(message, str):
                events.note(message)
            else:
                events.epoch(message)
        except Exception:
            # Epochs are told again in full with the next one, and at the end.
            logger.exception("a message from the workers could not be handled")
