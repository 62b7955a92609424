"""From the command to the first step, against Ray Train with workers that do nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import ROOT, Row, alternate, medians, row

GOAL = 1.3


def starting_rows(folder: Path) -> list[Row]:
    """The data is prepared; the first step has been taken when its checkpoint is on the disk."""
    home = folder / "starting"
    demo = str(ROOT / "experiments" / "demo.yaml")
    environment = {**os.environ, "RNNLANE_HOME": str(home)}
    command = [sys.executable, "-m", "rnnlane"]
    subprocess.run([*command, "prepare", demo], env=environment, check=True, capture_output=True)

    settings = ["--set", "training.epochs=1", "--set", "training.checkpoint_every_s=0.001"]

    def ours() -> float:
        shutil.rmtree(home / "checkpoints", ignore_errors=True)
        started = time.time()
        subprocess.run(
            [*command, "train", demo, *settings],
            env=environment,
            check=True,
            capture_output=True,
        )
        states = home.glob("checkpoints/*/attempt-*/checkpoint_*/state.json")
        return min(state.stat().st_mtime for state in states) - started

    def nothing() -> float:
        file = home / "there"
        started = time.time()
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("idle_ray_train.py")), str(file)],
            check=True,
            capture_output=True,
        )
        return float(file.read_text()) - started

    rounds = alternate(ours, nothing)
    mine, idle = medians(rounds)
    return [
        row(
            "start: command to first step, against idle Ray Train",
            [first / second for first, second in rounds],
            goal=GOAL,
            is_limit=True,
            details={"rnnlane s": mine, "idle Ray Train s": idle},
        )
    ]
