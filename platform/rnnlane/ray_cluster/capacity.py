"""The cluster's resources, and requests to its autoscaler for more nodes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence

from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.search import SearchConfig
from rnnlane.errors import ConfigError, ResourceError
from rnnlane.ray_cluster.address import starts_own_ray

# Set where a cluster's head is started: only the cluster knows whether it can add nodes.
WAIT_VARIABLE = "RNNLANE_WAIT_FOR_NODES_S"
_POLL_S = 2.0
# A Ray of this machine's own starts a process of 0.3 GB for each CPU that it is told of.
MAX_OVERCOMMIT = 8
# Of binary fractions: 1 / 0.1 workers are 10.
_ROUNDING = 1e-9

Nodes = Sequence[Mapping[str, float]]
"""Amounts by name, CPU and GPU, of each node."""


def own_cpus(config: RuntimeConfig) -> int:
    """CPUs that a Ray of this machine's own is told of: those it has, or more for the workers.

    Raises:
        ResourceError: the fewest workers need more than ``MAX_OVERCOMMIT`` times the CPUs; with the
            arithmetic.
    """
    has = os.cpu_count() or 1
    # A worker is a process, however small its share of a CPU is.
    each = max(1.0, config.cpus_per_worker)
    needed, most = config.min_workers * each, MAX_OVERCOMMIT * has
    if needed > most:
        raise ResourceError(
            f"{config.min_workers} workers x {each:g} CPUs = {needed:g} CPUs, but this machine has "
            f"{has}, and a Ray of its own takes at most {MAX_OVERCOMMIT} x {has} = {most}",
            where="runtime.num_workers",
            remedy="lower runtime.num_workers or runtime.cpus_per_worker, or name a cluster in "
            "RAY_ADDRESS",
        )
    return max(has, math.ceil(config.min_workers * config.cpus_per_worker))


def check_own(config: RuntimeConfig) -> None:
    """Refuses workers that a Ray of this machine's own cannot hold; passes where one is joined.

    Raises:
        ResourceError: too many workers for the CPUs, or a GPU for each that is not there.
    """
    if not starts_own_ray():
        return
    own_cpus(config)
    workers = config.min_workers
    if config.device != "gpu" or workers == 0:
        return
    import torch

    has = torch.cuda.device_count()
    if workers > has:
        raise ResourceError(
            f"{workers} workers x 1 GPU = {workers} GPUs, but this machine has {has}",
            where="runtime.device",
            remedy="set runtime.device to auto or cpu, lower runtime.num_workers, or name a "
            "cluster in RAY_ADDRESS",
        )


def check_own_trials(search: SearchConfig, device: str) -> None:
    """Refuses trials that a Ray of this machine's own cannot hold; passes where one is joined.

    Raises:
        ResourceError: not even one fits; with the arithmetic.
    """
    if not starts_own_ray():
        return
    gpus = search.gpus_per_worker
    if gpus is None:
        gpus = float(device == "gpu")
    have = {"CPU": float(os.cpu_count() or 1)}
    if gpus:
        import torch

        have["GPU"] = float(torch.cuda.device_count())
    trials_within(
        [have], num_workers=search.workers_per_trial, cpus=search.cpus_per_worker, gpus=gpus
    )


def trials_within(nodes: Nodes, *, num_workers: int, cpus: float, gpus: float) -> int:
    """Number of trials that fit the nodes at once.

    Args:
        nodes: what each has.
        num_workers: of a trial.
        cpus: of a worker.
        gpus: of a worker; may be a fraction.

    Raises:
        ResourceError: not even one fits; with the arithmetic.
    """
    have = total(nodes)
    for name, each in (("CPU", cpus), ("GPU", gpus)):
        needed, available = num_workers * each, have.get(name, 0.0)
        if needed > available:
            raise ResourceError(
                f"a trial needs {num_workers} workers x {each:g} {name}s = {needed:g} {name}s, "
                f"but Ray has {available:g}",
                where="search.workers_per_trial",
                remedy=f"lower search.workers_per_trial or search.{name.lower()}s_per_worker, "
                "or add nodes",
            )
    places = num_places(nodes, worker_resources(cpus, gpus))
    if places < num_workers:
        raise ResourceError(
            f"a trial needs {num_workers} workers x ({in_words(cpus, gpus)}), each on one node, "
            f"but the nodes have room for {places}",
            where="search.workers_per_trial",
            remedy="lower search.workers_per_trial, search.cpus_per_worker or "
            "search.gpus_per_worker",
        )
    return places // num_workers


def node_resources() -> list[dict[str, float]]:
    """What each node of the connected Ray has that is alive, in use or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def least_memory() -> float:
    """Bytes of memory for data on the node that has least: what is free here, and what each node
    of the connected Ray has for tasks.
    """
    import psutil
    import ray

    here = float(psutil.virtual_memory().available)
    nodes = node_resources() if ray.is_initialized() else []
    return min([here, *(node["memory"] for node in nodes if "memory" in node)])


def total(nodes: Nodes) -> dict[str, float]:
    """Amount of each resource over all nodes."""
    names = sorted({name for node in nodes for name in node})
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in names}


def capacity(bundle: Mapping[str, float], count: int) -> list[dict[str, float]]:
    """Amount of each resource, such as CPU and GPU, that each node of the connected Ray has.

    If the cluster says that its autoscaler adds nodes, requests room for the bundles and waits
    until they fit or the time is over. Otherwise a run would be refused for lack of nodes that
    were never requested. The request lasts until the next one, or until the driver ends.

    Args:
        bundle: what one worker needs.
        count: number of workers.

    Raises:
        ConfigError: the cluster's waiting time is not a number of seconds.
    """
    nodes = node_resources()
    wait_s = _wait_s()
    if wait_s <= 0 or num_places(nodes, bundle) >= count:
        return nodes
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(bundle)] * count)
    end = time.monotonic() + wait_s
    while num_places(nodes, bundle) < count and time.monotonic() < end:
        time.sleep(_POLL_S)
        nodes = node_resources()
    return nodes


def num_places(nodes: Nodes, bundle: Mapping[str, float]) -> int:
    """Number of workers that the nodes have room for: each is on one node.

    A share of a GPU is of one GPU: 0.6 of each of two is left for nobody.
    """
    return sum(
        min(_places_of(name, node.get(name, 0.0), each) for name, each in bundle.items())
        for node in nodes
    )


def _places_of(name: str, available: float, each: float) -> int:
    if name == "GPU" and each < 1:
        return int(available + _ROUNDING) * int(1 / each + _ROUNDING)
    return int(available / each + _ROUNDING)


def in_words(cpus: float, gpus: float) -> str:
    """What Ray reserves for one worker, in words."""
    return f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus > 0 else "")


def worker_resources(cpus: float, gpus: float) -> dict[str, float]:
    """What Ray reserves for one worker."""
    return {"CPU": cpus, **({"GPU": gpus} if gpus > 0 else {})}


def _wait_s() -> float:
    text = os.environ.get(WAIT_VARIABLE) or "0"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"{WAIT_VARIABLE} must be a number of seconds, but got {text!r}",
            where=WAIT_VARIABLE,
            remedy="for example 900; unset it where no autoscaler adds nodes",
        ) from None
