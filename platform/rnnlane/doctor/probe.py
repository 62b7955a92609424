"""The job of `rnnlane doctor --cluster`: checks every node of the cluster and prints one line.

It is the main file of a small job, with the package beside it. It must start where nothing but Ray
is installed, to report what is missing: everything else is imported where it is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import time
from importlib import metadata
from pathlib import Path
from typing import Any

MARK = "rnnlane probe: "
REQUEST_FILE = "request.json"
# A node that takes longer is reported as not answering.
NODE_TIMEOUT_S = 60.0


def main() -> None:
    """Answers the request in the working directory.

    The request has ``packages`` (names), ``storage`` (folder or URI, or None for the default) and
    ``tracking_uri`` (or None for the cluster's own).
    """
    request = json.loads(Path(REQUEST_FILE).read_text(encoding="utf-8"))
    storage = request["storage"] or _default_storage()
    answer = {
        "python": platform.python_version(),
        "mlflow": _mlflow(request["tracking_uri"]),
        "storage": storage,
        "nodes": _nodes(storage, request["packages"]),
    }
    print(MARK + json.dumps(answer), flush=True)


def _default_storage() -> str:
    """The home of this cluster's jobs, where an experiment without a storage path writes."""
    return os.environ.get("RNNLANE_HOME") or os.path.expanduser("~/.rnnlane")


def _mlflow(uri: str | None) -> dict[str, str | None]:
    """The store that a job would log to (``uri``), and why it cannot (``error``)."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return {"uri": None, "error": None}
    try:
        from rnnlane.config.tracking import TrackingConfig
        from rnnlane.errors import redact
        from rnnlane.tracking.store import check_store
    except ImportError as error:
        return {"uri": None, "error": _summary(error)}
    try:
        check_store(uri, mlflow_experiment=TrackingConfig().mlflow_experiment)
    except Exception as error:
        return {"uri": redact(uri), "error": _summary(error)}
    return {"uri": redact(uri), "error": None}


def _nodes(storage: str, packages: list[str]) -> list[dict[str, Any]]:
    """The state of each living node.

    Each node writes a file of its own to the storage, then each reads all of them. ``storage`` and
    ``unread`` say why writing or reading failed, else None. A node that does not answer has
    ``error`` instead.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.init(log_to_driver=False)
    living = [node for node in ray.nodes() if node["Alive"]]
    probes: list[Any] = []
    for node in living:
        pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": pinned}
        probes.append(ray.remote(_NodeProbe).options(**options).remote(storage))
    nodes = [_described(node) for node in living]
    folder = f".doctor-{secrets.token_hex(8)}"
    _ask(nodes, "storage", [each.write.remote(folder, n) for n, each in enumerate(probes)])
    _ask(nodes, "packages", [each.versions.remote(packages) for each in probes])
    _ask(nodes, "gpu_names", [each.gpu_names.remote() for each in probes])
    written = [n for n, node in enumerate(nodes) if node.get("storage", "") is None]
    for node, each in zip(nodes, probes, strict=True):
        if "error" not in node:
            node["ahead_s"] = _ahead_s(each)
    _ask(nodes, "unread", [each.read.remote(folder, written) for each in probes])
    _ask(nodes, "cleaned", [each.clean.remote(folder) for each in probes])
    return nodes


def _described(node: dict[str, Any]) -> dict[str, Any]:
    resources = node["Resources"]
    return {
        "name": f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
        "cpus": resources.get("CPU", 0.0),
        "gpus": resources.get("GPU", 0.0),
    }


def _ask(nodes: list[dict[str, Any]], key: str, references: list[Any]) -> None:
    """Stores each node's answer under ``key``, or its error."""
    import ray

    for node, reference in zip(nodes, references, strict=True):
        if "error" in node:
            continue
        try:
            node[key] = ray.get(reference, timeout=NODE_TIMEOUT_S)
        except ray.exceptions.RayError as error:
            node["error"] = _summary(error)


def _ahead_s(probe: Any) -> float:
    """Seconds that a node's clock is ahead of this one, to within the duration of the request."""
    import ray

    before = time.time()
    its_time: float = ray.get(probe.now.remote(), timeout=NODE_TIMEOUT_S)
    return its_time - (before + time.time()) / 2


class _NodeProbe:
    """Checks one node, from a process there."""

    def __init__(self, storage: str):
        self._storage = storage

    def now(self) -> float:
        """The node's clock, in seconds since 1970."""
        return time.time()

    def versions(self, names: list[str]) -> dict[str, str | None]:
        """Installed version of each package; None for one that is missing."""
        found: dict[str, str | None] = {}
        for name in names:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = None
        return found

    def gpu_names(self) -> list[str]:
        """What the GPUs that the driver sees are called; empty where NVML cannot be asked."""
        try:
            import pynvml

            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
            return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        except Exception:  # no bindings, no driver, no GPU
            return []

    def write(self, folder: str, number: int) -> str | None:
        """Writes this node's file; returns why it cannot."""
        try:
            place = self._open(folder)
            place.filesystem.create_dir(place.path, recursive=True)
            (place / str(number)).write_bytes(folder.encode())
        except Exception as error:
            return _summary(error)
        return None

    def read(self, folder: str, numbers: list[int]) -> str | None:
        """Reads the files of those nodes; returns why it cannot."""
        try:
            place = self._open(folder)
            for number in numbers:
                if (place / str(number)).read_bytes() != folder.encode():
                    return f"the file of node {number} has other content than was written"
        except Exception as error:
            return _summary(error)
        return None

    def clean(self, folder: str) -> None:
        """Removes the files of all nodes."""
        with contextlib.suppress(Exception):
            self._open(folder).remove_folder()

    def _open(self, folder: str) -> Any:
        from rnnlane.data.storage import joined, open_storage_path

        return open_storage_path(joined(self._storage, folder))


def _summary(error: BaseException) -> str:
    """Kind and first line; ``rnnlane.errors`` may not be importable here."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__


if __name__ == "__main__":
    main()
