"""Preparation: against a sequential script, from the archive in all, and its memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks.measure import ROOT, Row, alternate, medians, row, skipped
from benchmarks.review_texts import archive
from rnnlane import pipeline
from rnnlane.config import load_experiment
from rnnlane.config.paths import storage_root

IMDB = ROOT / "experiments" / "lstm-1.yaml"
NO_ARCHIVE = "RNNLANE_IMDB does not name the archive"
# A task that looks at half a million rows has most of its memory for a few tenths of a second.
MEMORY_SAMPLES_S = 0.05
NUM_ROWS = (500_000, 1_000_000, 10_000_000)


def _command(*arguments: str, home: Path) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "RNNLANE_HOME": str(home)}
    return [sys.executable, "-m", "rnnlane", *arguments], environment


def speed_rows(folder: Path) -> list[Row]:
    """50,000 reviews from the archive, Ray being there, against one process."""
    if archive() is None:
        return [skipped("prepare: against a sequential script", NO_ARCHIVE)]
    config = load_experiment(IMDB)

    def ours() -> float:
        shutil.rmtree(Path(storage_root(config)) / "prepared", ignore_errors=True)
        started = time.perf_counter()
        manifest = pipeline.prepare(config).manifest
        num_rows = sum(split.num_rows for split in manifest.splits.values())
        return num_rows / (time.perf_counter() - started)

    def sequential() -> float:
        command = [sys.executable, "-m", "tests.benchmarks.sequential_prepare", str(IMDB)]
        done = subprocess.run(
            [*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    ours()
    rounds = alternate(ours, sequential)
    mine, script = medians(rounds)
    return [
        row(
            "prepare: against a sequential script",
            [first / second for first, second in rounds],
            goal=1.8,
            details={"rnnlane rows/s": mine, "script": script},
        )
    ]


def cold_rows(folder: Path) -> list[Row]:
    """The whole command, from the archive, with nothing there before."""
    if archive() is None:
        return [skipped("prepare: 50,000 reviews, whole command, s", NO_ARCHIVE)]
    seconds = []
    for number in range(2):
        command, environment = _command("prepare", str(IMDB), home=folder / f"cold-{number}")
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return [
        row("prepare: 50,000 reviews, whole command, s", seconds, goal=45.0, is_limit=True),
    ]


def memory_rows(folder: Path) -> list[Row]:
    """Each process's own memory, and the speed, for 10 million rows against 1 million and less."""
    found = {num_rows: _prepared(folder, num_rows) for num_rows in NUM_ROWS}
    small, middle, large = (found[num_rows] for num_rows in NUM_ROWS)
    details = {
        f"{name} MB at {num_rows:,}": one.own_bytes.get(name, 0.0) / 1e6
        for num_rows, one in found.items()
        for name in middle.own_bytes
    }
    memory = [
        row(
            f"prepare: own memory of {name}, {NUM_ROWS[-1]:,} rows against {NUM_ROWS[1]:,}",
            [large.own_bytes[name] / middle.own_bytes[name]],
            goal=1.2,
            is_limit=True,
        )
        for name in ("driver", "task")
    ]
    speed = row(
        f"prepare: rows/s, {NUM_ROWS[-1]:,} rows against {NUM_ROWS[0]:,}",
        [large.rows_per_s / small.rows_per_s],
        goal=0.85,
        details={**details, "rows/s": large.rows_per_s},
    )
    return [*memory, speed]


@dataclass(frozen=True)
class _Preparation:
    """What a preparation took.

    Attributes:
        rows_per_s: of rows read, without the start of Ray.
        own_bytes: the most memory that a process of each kind had for itself alone.
    """

    rows_per_s: float
    own_bytes: dict[str, float]


def _prepared(folder: Path, num_rows: int) -> _Preparation:
    home = folder / f"memory-{num_rows}"
    home.mkdir()
    file = home / "experiment.yaml"
    source = {"kind": "generated", "num_rows": num_rows, "mean_clauses": 2}
    file.write_text(yaml.safe_dump({"name": "memory", "data": {"source": source}}))
    command, environment = _command("prepare", str(file), "--json", home=home)
    with (home / "out").open("w") as out, (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=log)
    own_bytes: dict[str, float] = {}
    while process.poll() is None:
        for name, size in _own_bytes(process.pid):
            own_bytes[name] = max(own_bytes.get(name, 0.0), size)
        time.sleep(MEMORY_SAMPLES_S)
    assert process.returncode == 0, (home / "log").read_text()
    (manifest,) = home.rglob("manifest.json")
    seconds = json.loads(manifest.read_text())["seconds"]
    shutil.rmtree(home)
    return _Preparation(num_rows / seconds, own_bytes)


def _own_bytes(pid: int) -> Iterator[tuple[str, float]]:
    """The kind of a process and of all below it, and the memory that is no file's.

    So what it reads in Ray's object store does not count, which has a limit of its own, nor do
    libraries.
    """
    driver = psutil.Process(pid)
    for process in [driver, *driver.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, OSError, IndexError):  # it has just ended
            title = " ".join(process.cmdline())
            is_task = title.startswith("ray::") and "Agent" not in title
            name = "driver" if process.pid == pid else "task" if is_task else "Ray's own"
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            yield name, 1024.0 * int(status.split("RssAnon:")[1].split()[0])
