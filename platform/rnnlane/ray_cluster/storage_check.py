"""Checks that every node of the cluster reaches the storage, before anything is started."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pyarrow import ArrowException

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.paths import storage_root
from rnnlane.data.storage import StoragePath, joined, open_storage_path, readable_errors
from rnnlane.errors import ResourceError, RnnlaneError, first_line, redact
from rnnlane.ray_cluster import connect as cluster

# A network filesystem that hangs would otherwise hang the run.
TIMEOUT_S = 90.0


def check_storage(config: ExperimentConfig) -> None:
    """Makes every node of the connected Ray write to the storage and read what the driver wrote.

    Does nothing if this machine is the only node and uses its own folder.

    Raises:
        DataError: this process cannot write or read there.
        ResourceError: a node cannot, or has another storage at this path.
    """
    nodes = cluster.alive_nodes()
    if len(nodes) < 2 and config.runtime.storage_path is None:
        return
    root = storage_root(config)
    folder = joined(root, f"storage-check-{secrets.token_hex(8)}")
    place = open_storage_path(folder)
    with readable_errors(redact(root)):
        place.filesystem.create_dir(place.path, recursive=True)
        try:
            (place / "driver").write_bytes(b"driver")
            answers = _ask(nodes, folder)
            for node, answer in sorted(answers.items(), key=lambda item: nodes[item[0]]):
                reason = answer or _unread(place / node, expected=node.encode())
                if reason:
                    raise _unreachable(reason, node=nodes[node], root=redact(root))
        finally:
            place.remove_folder()


def _ask(nodes: Mapping[str, str], folder: str) -> dict[str, str]:
    """Each node's problem, by node id; empty where it has none."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe: Any = ray.remote(num_cpus=0, max_retries=0)(_probe)
    pending = {
        probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            folder, node
        ): node
        for node in nodes
    }
    done, late = ray.wait(list(pending), num_returns=len(pending), timeout=TIMEOUT_S)
    answers = {pending[task]: f"did not answer within {TIMEOUT_S:g} s" for task in late}
    for task in late:
        ray.cancel(task, force=True)
    for task in done:
        try:
            answers[pending[task]] = ray.get(task)
        except RayError as error:
            answers[pending[task]] = first_line(error)
    return answers


def _probe(folder: str, name: str) -> str:
    """Runs on a node. Reads first, so that nothing is left behind in a wrong storage."""
    try:
        place = open_storage_path(folder)
        reason = _unread(place / "driver", expected=b"driver")
        if not reason:
            (place / name).write_bytes(name.encode())
    except (OSError, ArrowException, RnnlaneError) as error:
        return f"cannot write: {first_line(error)}"
    return reason


def _unread(place: StoragePath, *, expected: bytes) -> str:
    """Why a file does not have the expected content; empty if it does."""
    try:
        if place.read_bytes() == expected:
            return ""
    except FileNotFoundError:
        pass
    except (OSError, ArrowException) as error:
        return f"cannot read: {first_line(error)}"
    return "does not see what another node wrote there"


def _unreachable(reason: str, *, node: str, root: str) -> ResourceError:
    return ResourceError(
        f"every node must write and read at runtime.storage_path, but node {node} {reason}",
        where=root,
        remedy="name a folder that all nodes share, or a URI such as s3://bucket/folder, and give "
        "each node its keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
    )
