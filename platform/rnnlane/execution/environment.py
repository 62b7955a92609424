"""The environment of a run: code, versions, hardware, Ray job."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import rnnlane
from rnnlane.tracking.store import CODE_TAG

VERSIONED = ("rnnlane", "torch", "ray", "mlflow", "pyarrow", "nltk", "scikit-learn", "numpy")


def describe_environment() -> dict[str, str]:
    """Tags that describe the environment; what cannot be determined is left out."""
    tags = {f"version.{name}": version for name, version in versions().items()}
    tags["version.python"] = platform.python_version()
    tags[CODE_TAG] = code_version()
    return tags | git_state() | _hardware() | _ray_job()


def versions() -> dict[str, str]:
    """The installed version of each package that results depend on."""
    installed = {}
    for name in VERSIONED:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@functools.cache
def code_version() -> str:
    """Digest of rnnlane's own source: 8 hex digits, also where it is sent with a job."""
    root = Path(rnnlane.__file__).parent
    hasher = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        hasher.update(f"{path.relative_to(root).as_posix()}\0".encode())
        hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()[:8]


def git_state() -> dict[str, str]:
    """The commit of the working directory, else of rnnlane's checkout, and whether files differ."""
    for folder in (Path.cwd(), Path(__file__).parent):
        commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
        if commit is not None:
            changed = _output("git", "-C", str(folder), "status", "--porcelain")
            return {"git.commit": commit, "git.dirty": str(bool(changed)).lower()}
    return {}


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _hardware() -> dict[str, str]:
    tags = {"hardware.cpu": _cpu_model(), "hardware.num_cpus": str(os.cpu_count())}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    tags["hardware.memory_gib"] = f"{memory / 2**30:.1f}"
    import torch

    if torch.cuda.is_available():
        tags["hardware.num_gpus"] = str(torch.cuda.device_count())
        tags["hardware.gpu"] = torch.cuda.get_device_name(0)
    return tags


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _ray_job() -> dict[str, str]:
    import ray

    if not ray.is_initialized():
        return {}
    return {
        "ray.job_id": ray.get_runtime_context().get_job_id(),
        "ray.num_nodes": str(sum(node["Alive"] for node in ray.nodes())),
    }
