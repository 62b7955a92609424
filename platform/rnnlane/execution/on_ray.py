"""Training on Ray Train workers, any of which may fail: the driver's side."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import TrainingFailedError
from ray.train.torch import TorchConfig
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.errors import JobError
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.restart_policy import RestartPolicy
from rnnlane.execution.restarts import describe_failure
from rnnlane.execution.scratch import remove_abandoned, scratch_folder
from rnnlane.execution.worker import for_workers, worker_loop
from rnnlane.ray_cluster import connect as cluster
from rnnlane.ray_cluster.capacity import worker_resources
from rnnlane.ray_cluster.internals_train import (
    START_TIMEOUT_VARIABLE,
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TorchTrainer,
    controller_environment,
    release_resources,
)
from rnnlane.ray_cluster.session import call_when_ended
from rnnlane.records.events import RunEvents
from rnnlane.training.checkpoint import final_weights
from rnnlane.training.loop import Outcome, TrainingLoop, run_training
from rnnlane.training.memory import TORCH_VARIABLES

ELASTIC_START_TIMEOUT_S = "20"

logger = logging.getLogger(__name__)


def train_on_ray(
    config: ExperimentConfig,
    data: Any,
    *,
    store: CheckpointStore,
    events: RunEvents,
    gpus_per_worker: float,
    loop: TrainingLoop = run_training,
) -> Outcome:
    """Trains on ``runtime.num_workers`` Ray Train workers; Ray must be connected.

    ``data`` is a reference to the TrainingData in Ray's object store, ``loop`` the training loop.

    Ray Train's own restarts are off, because they cover only some kinds of failure. After any
    failure training starts again from the newest checkpoint, up to ``runtime.max_restarts`` times.

    Raises:
        JobError: training failed more often than ``runtime.max_restarts`` allows.
        RnnlaneError: a worker raised it, or ran out of memory; no restart can mend that.
    """
    policy = RestartPolicy(
        config.runtime.max_restarts,
        work="training",
        plan="continuing from the last checkpoint",
        remedy="run with -v to see the workers' log; then continue with --resume",
    )
    worker_needs = cluster.describe_worker(config.runtime, gpus_per_worker)
    nodes = cluster.alive_nodes()
    call_when_ended(remove_abandoned)  # the workers of an interrupted run are killed
    while True:
        _wait_for_nodes(config.runtime, gpus_per_worker, events)
        try:
            return _attempt(
                config,
                data,
                store=store,
                events=events,
                gpus_per_worker=gpus_per_worker,
                loop=loop,
            )
        except (TrainingFailedError, RayError, OSError) as error:
            nodes = cluster.note_lost_nodes(nodes, events)
            failure = describe_failure(error, worker_needs=worker_needs, storage=store.root)
            restart = policy.decide(failure)
        if restart.note:
            events.note(restart.note)
        time.sleep(restart.wait_s)


def _wait_for_nodes(runtime: RuntimeConfig, gpus_per_worker: float, events: RunEvents) -> None:
    """Waits until the cluster has the resources for the fewest workers, in use or not."""
    if cluster.is_large_enough(runtime, gpus_per_worker):
        return
    each = cluster.describe_worker(runtime, gpus_per_worker)
    events.note(f"waiting for nodes: {runtime.min_workers} workers x {each} are needed")
    while not cluster.is_large_enough(runtime, gpus_per_worker):
        time.sleep(1.0)


def _attempt(
    config: ExperimentConfig,
    data: Any,
    *,
    store: CheckpointStore,
    events: RunEvents,
    gpus_per_worker: float,
    loop: TrainingLoop,
) -> Outcome:
    """One ``TorchTrainer.fit()`` from the newest checkpoint on."""
    with _inbox(events) as inbox:
        setting = {
            "config": for_workers(config).model_dump(mode="json"),
            "data": data,
            "inbox": inbox,
            "start": _checkpoint_files(store),
            "checkpoints": store.root,
            "loop": loop,
        }
        name = store.next_attempt()
        trainer = _trainer(
            config, setting, name=name, root=store.root, gpus_per_worker=gpus_per_worker
        )
        variables = _controller_variables(config.runtime)
        with controller_environment(variables):
            try:
                result: Any = trainer.fit()
            except KeyboardInterrupt:
                trainer.abort()
                raise
            except RayError:
                release_resources(trainer.train_run_context.run_id)
                raise
            finally:
                # A run that waits for room makes an attempt a minute.
                store.discard_empty(name)
                remove_abandoned()
    return _outcome(result.return_value, store)


def _trainer(
    config: ExperimentConfig,
    setting: dict[str, Any],
    *,
    name: str,
    root: str,
    gpus_per_worker: float,
) -> TorchTrainer:
    runtime = config.runtime
    assert runtime.num_workers != "auto"
    loop: Any = worker_loop  # Ray's annotation lacks the return value, which it passes on
    return TorchTrainer(
        loop,
        train_loop_config=setting,
        torch_config=TorchConfig(timeout_s=math.ceil(runtime.collective_timeout_s)),
        scaling_config=ScalingConfig(
            num_workers=runtime.num_workers,
            elastic_resize_monitor_interval_s=runtime.resize_every_s,
            use_gpu=gpus_per_worker > 0,
            resources_per_worker=worker_resources(runtime.cpus_per_worker, gpus_per_worker),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=root,
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )


def _controller_variables(runtime: RuntimeConfig) -> dict[str, str]:
    """Environment variables for Ray Train's processes.

    ``RAY_ADDRESS`` is for the process that releases the resources of a stopped run. Without it,
    that process searches the machine for a running Ray, and gives up if there are several.

    Elastic workers wait only briefly for their resources: Train's view of the cluster may be 20 s
    old, so it might wait for a node that is already lost.
    """
    variables = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    if runtime.is_elastic and START_TIMEOUT_VARIABLE not in os.environ:
        variables[START_TIMEOUT_VARIABLE] = ELASTIC_START_TIMEOUT_S
    variables |= {name: os.environ.get(name, value) for name, value in TORCH_VARIABLES.items()}
    return variables


def _outcome(returned: dict[str, Any], store: CheckpointStore) -> Outcome:
    # Not the attempt's own checkpoint: an attempt that resumed a finished run has none.
    with scratch_folder() as scratch:
        folder = store.fetch_latest(scratch)
        if folder is None:
            raise JobError(
                "a finished run must have a checkpoint, but there is none",
                where=store.root,
                remedy="check that every node reaches runtime.storage_path",
            )
        weights = final_weights(folder)
    outcome: Outcome = replace(returned["outcome"], weights=weights)
    return outcome


def _checkpoint_files(store: CheckpointStore) -> Any:
    """The newest checkpoint's files, in the object store for workers on other nodes; or None."""
    with scratch_folder() as scratch:
        folder = store.fetch_latest(scratch)
        if folder is None:
            return None
        return ray.put({file.name: file.read_bytes() for file in sorted(folder.iterdir())})


@contextlib.contextmanager
def _inbox(events: RunEvents) -> Iterator[Any]:
    """A queue of (method, argument) pairs: calls of ``events``, made by a thread of the driver."""
    driver_node = NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    inbox = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": driver_node})
    thread = threading.Thread(target=_listen, args=(inbox, events), daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        with contextlib.suppress(Exception):
            # Not inbox.put(): if Ray could not start the queue's actor, that waits for ever.
            actor: Any = inbox.actor
            ray.wait([actor.put.remote(None)], timeout=10)
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
        method, argument = message
        try:
            getattr(events, method)(argument)
        except Exception:
            # Nothing is lost: each message about epochs, and the outcome, holds all of them.
            logger.exception("a message from the workers could not be handled")
