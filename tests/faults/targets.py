"""What the faults are applied to: small runs, a search, a baseline and a job."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from faults.machine import HOME, TEMPORARY

NAME = "small"
EPOCHS = 5
_EXPERIMENT: dict[str, Any] = {
    "name": NAME,
    "data": {"source": {"kind": "csv", "path": "reviews.csv"}},
    "text": {"max_length": 30},
    "model": {
        "embedding_dim": 16,
        "hidden_size": 24,
        "num_layers": 2,
        "bidirectional": True,
        "dropout": 0.1,
    },
    "training": {
        "epochs": EPOCHS,
        "learning_rate": 0.01,
        "global_batch_size": 8,
        "checkpoint_every_s": 0.2,
        "clip": {"policy": "auto", "calibration_steps": 8},
    },
    "runtime": {"num_workers": 0, "device": "cpu", "collective_timeout_s": 20},
    "tracking": {"system_metrics": False, "flush_timeout_s": 8},
}
_SEARCH = {
    "algorithm": "optuna",
    "scheduler": "asha",
    "num_trials": 5,
    "max_concurrent": 1,
    "space": {
        "training.learning_rate": "loguniform(1e-3, 5e-2)",
        "model.hidden_size": "choice(12, 16)",
    },
}

# Seconds within which a fault may come after the moment that it waits for.
SPREADS_S = {
    "start": 5.0,
    "ray": 5.0,
    "draft": 1.0,
    "record": 4.0,
    "checkpoint": 0.5,
    "results": 0.7,
    "finished": 0.3,
}


@dataclass(frozen=True)
class Target:
    """A command, and how a person goes on after it was cut off.

    Attributes:
        name: for ``--list`` and the printout.
        command: arguments of ``rnnlane``.
        resume: arguments of the command that goes on.
        moments: what can be waited for, in order; see :data:`SPREADS_S`.
        changes: to the experiment.
        num_rows: of the data.
        is_prepared: whether the data has been prepared before.
        is_resumable: whether ``resume`` continues the same MLflow run.
        has_ray: whether the command starts a Ray of its own.
    """

    name: str
    command: tuple[str, ...]
    resume: tuple[str, ...]
    moments: tuple[str, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    num_rows: int = 1200
    is_prepared: bool = True
    is_resumable: bool = True
    has_ray: bool = False

    @property
    def is_job(self) -> bool:
        """Whether it runs on a cluster, to which the command sends it."""
        return self.command[0] == "submit"

    def experiment(self) -> str:
        """The experiment file."""
        values = {**_EXPERIMENT}
        for key, change in self.changes.items():
            values[key] = {**values.get(key, {}), **change}
        return yaml.safe_dump(values)


_TRAIN = ("train", "small.yaml", "--json")
_TUNE = ("tune", "small.yaml", "--json")
_SUBMIT = ("submit", "small.yaml")
_FIT = ("record", "checkpoint", "results", "finished")
_TWO_WORKERS = {"runtime": {"num_workers": 2}}
_SHORT = {"training": {"epochs": 3}, "search": _SEARCH, "model": {"num_layers": 1, "dropout": 0.0}}

TARGETS = {
    target.name: target
    for target in (
        Target("run", _TRAIN, (*_TRAIN, "--resume"), ("start", *_FIT)),
        Target(
            "workers",
            _TRAIN,
            (*_TRAIN, "--resume"),
            ("start", "ray", *_FIT),
            changes=_TWO_WORKERS,
            has_ray=True,
        ),
        Target(
            "fresh",
            _TRAIN,
            (*_TRAIN, "--resume"),
            ("start", "ray", "draft", *_FIT),
            is_prepared=False,
            has_ray=True,
        ),
        Target(
            "search",
            _TUNE,
            (*_TUNE, "--resume"),
            ("start", "ray", *_FIT),
            changes=_SHORT,
            num_rows=500,
            has_ray=True,
        ),
        Target(
            "baseline",
            ("baseline", "small.yaml", "--json"),
            ("baseline", "small.yaml", "--json"),
            ("start", "record", "results", "finished"),
            is_resumable=False,
        ),
        Target("job", _SUBMIT, _SUBMIT, ("start", *_FIT)),
    )
}


def reviews(num_rows: int) -> str:
    """A csv file that a small model can learn: the label follows from two of the words."""
    lines = ["text,label"]
    for number in range(num_rows):
        words = [f"word{number * step % 97}" for step in range(3, 3 + 8 + number % 17)]
        good = (number * 7919) % 13 < 6
        words[number % len(words)] = "fine" if good else "dull"
        words[(number // 3) % len(words)] = "never" if number % 11 == 0 else "plain"
        lines.append(f"{' '.join(words)} n{number},{'good' if good else 'bad'}")
    return "\n".join(lines) + "\n"


class Moments:
    """Waits for moments of a command by what appears in its home.

    Args:
        is_over: whether to give up, as the command has ended.
    """

    def __init__(self, is_over: Callable[[], bool]):
        self._is_over = is_over
        self._seen: set[Path] = set()

    def wait_for(self, moment: str, *, delay_s: float, before: frozenset[Path]) -> bool:
        """Waits for a moment and then ``delay_s``; False if the command ended first.

        Args:
            moment: a key of ``SPREADS_S``, and for a checkpoint how many, as ``checkpoint 3``.
            delay_s: seconds to wait afterwards.
            before: what was there when the command was started.
        """
        name, _, count = moment.partition(" ")
        while not self._has_come(name, int(count or 1), before):
            if self._is_over():
                return False
            time.sleep(0.02)
        deadline = time.monotonic() + delay_s
        while time.monotonic() < deadline:
            if self._is_over():
                return False
            time.sleep(0.01)
        return not self._is_over()

    def _has_come(self, name: str, count: int, before: frozenset[Path]) -> bool:
        if name == "start":
            return True
        if name == "record":
            return any(record.get("run_id") for record in records())
        if name == "finished":
            return any(record.get("state") == "finished" for record in records())
        self._seen |= set(appeared(name)) - before
        return len(self._seen) >= count


def appeared(moment: str) -> list[Path]:
    """The files that tell that a moment has come."""
    patterns = {
        "ray": (TEMPORARY, "ray/session_*"),
        "draft": (HOME, "prepared/*/data-*"),
        "checkpoint": (HOME, "checkpoints/*/attempt-*/checkpoint_*"),
        "results": (HOME, "runs/*/results"),
    }
    if moment not in patterns:
        return []
    folder, pattern = patterns[moment]
    return list(folder.glob(pattern))


def present() -> frozenset[Path]:
    """What :func:`appeared` finds now, for all moments."""
    return frozenset(path for moment in SPREADS_S for path in appeared(moment))


def records() -> list[dict[str, Any]]:
    """The records of all runs of the home; those being written are left out."""
    found = []
    for file in sorted((HOME / "runs").glob("*/run.json")):
        try:
            values = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(values, dict):
            found.append({**values, "folder": file.parent})
    return found
