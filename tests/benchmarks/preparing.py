"""Preparation: against a sequential script, from the archive in all, and its memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
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
MEMORY_SAMPLES_S = 0.5


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
    """Peak memory of all its processes for ten times the rows."""
    small, large = (_peak_bytes(folder, num_rows) for num_rows in (50_000, 500_000))
    return [
        row(
            "prepare: peak memory, 500k generated reviews against 50k",
            [large / small],
            goal=1.2,
            is_limit=True,
            details={"50k GB": small / 1e9, "500k GB": large / 1e9},
        )
    ]


def _peak_bytes(folder: Path, num_rows: int) -> float:
    home = folder / f"memory-{num_rows}"
    home.mkdir()
    file = home / "experiment.yaml"
    source = {"kind": "generated", "num_rows": num_rows}
    file.write_text(yaml.safe_dump({"name": "memory", "data": {"source": source}}))
    command, environment = _command("prepare", str(file), home=home)
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _tree_bytes(process.pid))
        time.sleep(MEMORY_SAMPLES_S)
    assert process.returncode == 0, (home / "log").read_text()
    shutil.rmtree(home)
    return peak


def _tree_bytes(pid: int) -> float:
    """Proportional set size of a process and all below it, shared memory counted once."""
    total = 0.0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return total
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total
