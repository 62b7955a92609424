"""Connecting to Ray, or starting it, and checking that the workers fit."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.errors import JobError, ResourceError, first_line
from rnnlane.ray_cluster.address import (
    check_address,
    cluster_to_join,
    token_hint,
    unreachable,
)
from rnnlane.ray_cluster.capacity import (
    capacity,
    in_words,
    node_resources,
    num_places,
    own_cpus,
    total,
    trials_within,
    worker_resources,
)
from rnnlane.ray_cluster.internals import (
    end_failed_start,
    loopback_only,
    own_session,
    startup_failure,
    without_startup_log,
)
from rnnlane.ray_cluster.session import remove_at_exit
from rnnlane.ray_cluster.token import make_token
from rnnlane.records.events import RunEvents
from rnnlane.training.memory import set_torch_variables

# Ray Train polls its workers every 2 s by default, and waits that long again at the end of a run.
HEALTH_CHECK_INTERVAL_S = "0.5"


class StartTimeoutError(JobError):
    """A local Ray's processes needed longer to start than Ray waits for them."""


def connect(config: RuntimeConfig, events: RunEvents | None = None) -> str | None:
    """Connects this process to Ray; does nothing if it is connected already.

    ``RAY_ADDRESS`` names a cluster; without it a local Ray is started for this process alone. Its
    dashboard stays on, because Ray Train finds dead controllers through it.

    Args:
        config: decides how many CPUs a local Ray says it has.
        events: is told of a start that is tried again; verbose ones leave Ray's logs on.

    Returns:
        Where the dashboard of a Ray is that was started, for people; else None.

    Raises:
        ConfigError: RAY_ADDRESS has a wrong form, or the cluster requires a token.
        ResourceError: the workers are far too many for a Ray of this machine's own.
        JobError: Ray cannot be started or reached.
    """
    check_address()
    events = events or RunEvents()
    verbose = events.verbose
    # Ray's local processes inherit the environment.
    set_torch_variables()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", HEALTH_CHECK_INTERVAL_S)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # By default a task that needs more memory than there is starts again forever.
    os.environ.setdefault("RAY_task_oom_retries", "3")
    import ray

    if ray.is_initialized():
        return None
    dashboard = None
    address = cluster_to_join()
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": verbose}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            dashboard = _start(config, options, events)
        else:
            _join(address, options)
    except SystemExit as error:
        # What Ray's own handler does, from the time that Ray starts.
        if error.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        # Ray's own handler aborts the process before it can record how the run ended.
        signal.signal(signal.SIGTERM, on_sigterm)
    if not verbose:
        for name in ("ray", "ray.data", "ray.train", "ray.tune"):
            logging.getLogger(name).setLevel(logging.ERROR)
    return dashboard


def _start(config: RuntimeConfig, options: dict[str, Any], events: RunEvents) -> str:
    """Starts a Ray on this machine that ends with this process; returns its dashboard."""
    # A local machine is not preempted with notice; the watcher would be one more process.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # Every process would collect metrics for a Prometheus that a local Ray does not have.
    os.environ.setdefault("RAY_enable_metrics_collection", "0")
    options = {"num_cpus": own_cpus(config), **options}
    make_token()
    try:
        return _start_once(options)
    except StartTimeoutError:
        session = own_session()
        if session is not None:
            remove_at_exit(session)
        events.note("Ray did not start in the time that it gives its processes; trying once more")
    return _start_once(options)


def _start_once(options: dict[str, Any]) -> str:
    """Starts a Ray; one that fails leaves no processes.

    Raises:
        StartTimeoutError: its processes needed longer than it waits, as on a busy machine.
        JobError: it does not start for another reason.
    """
    import ray

    started_at = time.time()
    try:
        with loopback_only(), without_startup_log():
            context: Any = ray.init(
                address="local",
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                **options,
            )
    except Exception as error:
        # Ray raises a bare Exception when one of its processes does not start.
        failure = startup_failure(error)
        end_failed_start()
        raise (StartTimeoutError if failure.is_timeout else JobError)(
            f"Ray cannot be started: {failure.cause}",
            where=str(failure.log) if failure.log else "local Ray",
            remedy="it needs free memory, room in /dev/shm, and a temporary folder with room and a "
            "short path (RAY_TMPDIR, by default /tmp)",
        ) from error
    except (KeyboardInterrupt, SystemExit):
        session = own_session()
        if session is not None and session.stat().st_mtime >= started_at:
            remove_at_exit(session)
        raise
    remove_at_exit(Path(context.address_info["session_dir"]))
    return f"http://{context.dashboard_url}{token_hint()}"


def _join(address: str, options: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **options)
    except Exception as error:
        raise unreachable(first_line(error), named=address) from error


def use_gpu(config: RuntimeConfig) -> bool:
    """Whether the workers of this experiment get a GPU each on the connected Ray.

    Raises:
        ResourceError: the workers do not fit the cluster; with the arithmetic.
    """
    workers, cpus = config.min_workers, config.cpus_per_worker
    gpus = float(config.device == "gpu")
    nodes = capacity(worker_resources(cpus, gpus), workers)
    have = total(nodes)
    if workers * cpus > have.get("CPU", 0.0):
        raise ResourceError(
            f"{workers} workers x {cpus:g} CPUs = {workers * cpus:g} CPUs, but Ray has "
            f"{have.get('CPU', 0.0):g}",
            where="runtime.num_workers",
            remedy="lower runtime.num_workers or runtime.cpus_per_worker, or add nodes",
        )
    if gpus and workers > have.get("GPU", 0.0):
        raise ResourceError(
            f"{workers} workers x 1 GPU = {workers} GPUs, but Ray has {have.get('GPU', 0.0):g}",
            where="runtime.device",
            remedy="lower runtime.num_workers, or set runtime.device to auto or cpu",
        )
    if (places := num_places(nodes, worker_resources(cpus, gpus))) < workers:
        raise ResourceError(
            f"{workers} workers need {in_words(cpus, gpus)} each on one node, but the nodes have "
            f"room for {places}",
            where="runtime.num_workers",
            remedy="lower runtime.num_workers or runtime.cpus_per_worker, or add nodes",
        )
    return config.device != "cpu" and num_places(nodes, worker_resources(cpus, 1.0)) >= workers


def with_counted_workers(config: ExperimentConfig, events: RunEvents) -> ExperimentConfig:
    """The experiment with a number for ``runtime.num_workers: auto``.

    That is one for each GPU of the connected Ray that has the CPUs for its worker beside it; where
    there are none, or runtime.device is cpu, 2, or 1 if only one fits. A step cannot have more
    workers than rows or shards.

    Raises:
        ResourceError: runtime.device is gpu, but there is none.
    """
    runtime = config.runtime
    if runtime.num_workers != "auto":
        return config
    wants_gpu = runtime.device == "gpu"
    nodes = capacity(worker_resources(runtime.cpus_per_worker, float(wants_gpu)), 1)
    gpus = num_places(nodes, worker_resources(runtime.cpus_per_worker, 1.0))
    if runtime.device == "cpu" or (gpus == 0 and not wants_gpu):
        count = min(2, num_places(nodes, worker_resources(runtime.cpus_per_worker, 0.0)))
        why = "no GPU is used"
    else:
        count, why = gpus, f"the cluster has {gpus} GPUs for them"
    limits = (config.training.global_batch_size, config.training.reduction_shards or count)
    count = max(1, min(count, *limits))
    events.note(f"runtime.num_workers auto: {count}, as {why}")
    runtime = runtime.model_copy(update={"num_workers": count})
    return config.model_copy(update={"runtime": runtime})


def num_fitting(*, num_workers: int, cpus: float, gpus: float) -> int:
    """Number of trials that fit the connected Ray at once.

    Args:
        num_workers: of a trial.
        cpus: of a worker.
        gpus: of a worker; may be a fraction.

    Raises:
        ResourceError: not even one fits; with the arithmetic.
    """
    nodes = capacity(worker_resources(cpus, gpus), num_workers)
    return trials_within(nodes, num_workers=num_workers, cpus=cpus, gpus=gpus)


def alive_nodes() -> dict[str, str]:
    """Host name and address of each node of the connected Ray that is alive, by node id."""
    import ray

    return {
        node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        for node in ray.nodes()
        if node["Alive"]
    }


def note_lost_nodes(before: dict[str, str], events: RunEvents) -> dict[str, str]:
    """Notes each node that has died since ``before``; returns the nodes that are alive."""
    now = alive_nodes()
    for node in sorted(before.keys() - now.keys()):
        events.note(f"node {before[node]} was lost")
    return now


def is_large_enough(config: RuntimeConfig, gpus_per_worker: float) -> bool:
    """Whether the connected Ray has room for the workers, in use or not."""
    bundle = worker_resources(config.cpus_per_worker, gpus_per_worker)
    return num_places(node_resources(), bundle) >= config.min_workers


def describe_worker(config: RuntimeConfig, gpus_per_worker: float) -> str:
    """What Ray reserves for one worker, in words."""
    return in_words(config.cpus_per_worker, gpus_per_worker)
