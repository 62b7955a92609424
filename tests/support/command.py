"""The command line as a user runs it: a process of its own, in a folder of its own."""

import functools
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]


def command_environment(home: Path, **extra: str) -> dict[str, str]:
    hidden = {"MLFLOW_TRACKING_URI", "RAY_ADDRESS"}
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "RNNLANE_HOME": str(home), **extra}


def give_store(home: Path, *arguments: str) -> None:
    """Gives a new home MLflow's database, whose migrations would take a first run seconds."""
    database = home / "mlflow.db"
    if arguments[0] in {"train", "tune", "baseline"} and not database.exists():
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(new_store(), database)


@functools.cache
def new_store() -> Path:
    """MLflow's database as its migrations make it; made once for this checkout."""
    version = importlib.metadata.version("mlflow")
    store = ROOT / ".pytest_cache" / f"mlflow-{version}.db"
    store.parent.mkdir(exist_ok=True)
    with FileLock(store.with_suffix(".lock")):
        if not store.exists():
            draft = store.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            code = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
            command = [sys.executable, "-c", code, f"sqlite:///{draft}"]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            draft.rename(store)
    return store


def rnnlane(home: Path, *arguments: str, timeout_s: float = 300, **extra: str):
    """Runs the command to its end."""
    give_store(home, *arguments)
    return subprocess.run(
        [sys.executable, "-m", "rnnlane", *arguments],
        check=False,
        env=command_environment(home, **extra),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def rnnlane_json(
    home: Path, *arguments: str, timeout_s: float = 300, **extra: str
) -> dict[str, Any]:
    """What ``--json`` printed; the command must succeed and print one line only."""
    done = rnnlane(home, *arguments, "--json", timeout_s=timeout_s, **extra)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])


def start_rnnlane(home: Path, log: Path, *arguments: str, **extra: str) -> subprocess.Popen:
    """Starts the command in a process group of its own; what it prints goes to ``log``."""
    give_store(home, *arguments)
    with log.open("w") as target:
        return subprocess.Popen(
            [sys.executable, "-m", "rnnlane", *arguments],
            env=command_environment(home, **extra),
            cwd=home.parent,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(condition: Callable[[], Any], *, timeout_s: float = 300, what: str = "") -> Any:
    """The first true value of the condition."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {timeout_s} s in vain for {what}")


def ray_processes(driver: int, name: str) -> list[psutil.Process]:
    """The processes of a driver's local Ray that run actors of a class."""
    workers = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if name in " ".join(process.cmdline()):
                workers.append(process)
        except psutil.Error:
            continue
    return workers


def kill_everything(driver: subprocess.Popen) -> None:
    """``kill -9`` of the driver and all that it has started, as a power cut would."""
    driven = psutil.Process(driver.pid)
    kill([driven, *driven.children(recursive=True)])
    driver.wait(timeout=30)


def kill(processes: list[psutil.Process]) -> None:
    """``kill -9`` of each that is still there."""
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    psutil.wait_procs(processes, timeout=30)


def checkpoints(home: Path) -> list[Path]:
    """The checkpoints of all runs below a home, oldest first."""
    return sorted((home / "checkpoints").glob("*/attempt-*/checkpoint_*/state.json"))


def write_experiment(folder: Path, **changes: Any) -> Path:
    """A small experiment on generated reviews with two workers."""
    values: dict[str, Any] = {
        "name": "small",
        "data": {"source": {"kind": "generated", "num_rows": 600}},
        "model": {"embedding_dim": 16, "hidden_size": 16},
        "training": {"epochs": 2, "learning_rate": 0.01},
        "runtime": {"num_workers": 2, "device": "cpu"},
        "tracking": {"system_metrics": False},
    }
    for key, change in changes.items():
        values[key] = {**values.get(key, {}), **change} if isinstance(change, dict) else change
    file = folder / f"{values['name']}.yaml"
    file.write_text(yaml.safe_dump(values))
    return file
