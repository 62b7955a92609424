"""Checks of this machine: what would keep a run from working here."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rnnlane.config.paths import existing, home
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.tracking import TrackingConfig
from rnnlane.doctor.finding import Finding
from rnnlane.doctor.gpus import gpu_findings
from rnnlane.errors import ConfigError, RnnlaneError
from rnnlane.execution.inventory import Limits, disk_use, in_words, take_inventory
from rnnlane.jobs.versions import direct_requirements
from rnnlane.ray_cluster.token import is_open_to_all, token_file

LEAST_FREE_GIB = 2.0


def diagnose(tracking_uri: str | None) -> Iterator[Finding]:
    """Checks versions, disk, memory, data, store, Ray and GPUs, in the order of cost.

    Stops after a home that is no folder: the later checks read it.
    """
    yield _python()
    yield _packages()
    try:
        home()
    except ConfigError as error:
        yield Finding("home", False, error.message, error.remedy or "")
        return
    yield _disk()
    yield _disk_use()
    yield _shared_memory()
    yield _imdb()
    yield store_finding(tracking_uri)
    yield _ray()
    yield from _token()
    yield from gpu_findings(in_cluster=_gpus_of_ray())


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding("Python", ok, version, "" if ok else "use Python 3.11 or newer")


def _packages() -> Finding:
    wrong, seen = [], []
    for requirement in direct_requirements("rnnlane", {""}):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing, {requirement.specifier} is needed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, {requirement.specifier} is tested")
        if requirement.name in {"torch", "ray", "mlflow", "pyarrow", "nltk", "scikit-learn"}:
            seen.append(f"{requirement.name} {version}")
    remedy = "pip install -c constraints.txt rnnlane" if wrong else ""
    return Finding("packages", not wrong, "; ".join(wrong) or ", ".join(seen), remedy)


def _disk() -> Finding:
    folder = home()
    found = existing(folder)
    free = shutil.disk_usage(found).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=found):
            pass
    except OSError as error:
        remedy = "set RNNLANE_HOME to a folder that you may write to"
        return Finding("home", False, f"{folder}: {error.strerror}", remedy)
    ok = free >= LEAST_FREE_GIB
    remedy = "" if ok else f"free {LEAST_FREE_GIB:g} GiB or set RNNLANE_HOME to another disk"
    return Finding("home", ok, f"{folder}, {free:.1f} GiB free", remedy)


def _disk_use() -> Finding:
    use = disk_use()
    found = ", ".join(f"{what} {in_words(num_bytes)}" for what, num_bytes in use.items())
    removable = sum(item.num_bytes for item in take_inventory(Limits()).leftovers)
    remedy = f"`rnnlane clean` removes {in_words(removable)}" if removable else ""
    return Finding("disk use", True, found, remedy)


def _shared_memory() -> Finding:
    folder = Path("/dev/shm")  # noqa: S108 (Ray's object store is there)
    if not folder.is_dir():
        return Finding("shared memory", True, "no /dev/shm; Ray uses the temporary folder")
    free = shutil.disk_usage(folder).free / 2**30
    ok = free >= 0.5
    remedy = "" if ok else "give /dev/shm more room (docker run --shm-size=4g)"
    return Finding("shared memory", ok, f"{free:.1f} GiB free", remedy)


def _imdb() -> Finding:
    from rnnlane.data.sources.imdb import cached_archive

    named = os.environ.get("RNNLANE_IMDB")
    if named:
        ok = Path(named).exists()
        found = f"RNNLANE_IMDB={named}" + ("" if ok else " does not exist")
        return Finding("IMDB reviews", ok, found, "" if ok else "correct or unset RNNLANE_IMDB")
    archive = cached_archive()
    found = str(archive) if archive.exists() else "not here; downloaded once when first needed"
    return Finding("IMDB reviews", True, found)


def store_finding(tracking_uri: str | None) -> Finding:
    """Whether an MLflow store can be used from here; None for the default store of runs."""
    from rnnlane.errors import redact
    from rnnlane.tracking.store import check_store
    from rnnlane.tracking.uris import resolve_uri

    try:
        uri = resolve_uri(tracking_uri)
        check_store(uri, mlflow_experiment=TrackingConfig().mlflow_experiment)
    except RnnlaneError as error:
        return Finding("MLflow store", False, error.message, error.remedy or "")
    return Finding("MLflow store", True, f"{redact(uri)} can be read and written")


def _ray() -> Finding:
    from rnnlane.ray_cluster import connect as cluster

    try:
        cluster.connect(RuntimeConfig(num_workers=0))
    except RnnlaneError as error:
        return Finding("Ray", False, f"{error.where}: {error.message}", error.remedy or "")
    import ray

    resources = ray.cluster_resources()
    nodes = sum(node["Alive"] for node in ray.nodes())
    memory = resources.get("memory", 0) / 2**30
    where = os.environ.get("RAY_ADDRESS") or "started here"
    found = f"{where}: {nodes} node(s), {resources.get('CPU', 0):g} CPUs, {memory:.1f} GiB"
    return Finding("Ray", True, found)


def _token() -> Iterator[Finding]:
    """Who may read the token of a Ray on this machine, if it is in a file."""
    file = token_file()
    if file is None or not file.exists():
        return
    ok = not is_open_to_all(file)
    found = str(file) if ok else f"every user of this machine may read {file}"
    yield Finding("Ray's token", ok, found, "" if ok else f"chmod 600 {shlex.quote(str(file))}")


def _gpus_of_ray() -> float:
    import ray

    return float(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0.0
