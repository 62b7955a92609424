"""From the command to the first step, against Ray Train with workers that do nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.measure import ROOT, Row, alternate, medians, row

GOAL = 1.3


def starting_rows(folder: Path) -> list[Row]:
    """The data is prepared. The first step began as long before the epoch was logged as it took."""
    home = folder / "starting"
    demo = str(ROOT / "experiments" / "demo.yaml")
    environment = {**os.environ, "RNNLANE_HOME": str(home)}
    command = [sys.executable, "-m", "rnnlane"]
    subprocess.run([*command, "prepare", demo], env=environment, check=True, capture_output=True)

    # Measuring a clip value would be training before the first step.
    settings = ["--set", "training.epochs=1", "--set", "training.clip.policy=none", "--json"]

    def ours() -> float:
        started = time.time()
        done = subprocess.run(
            [*command, "train", demo, *settings],
            env=environment,
            check=True,
            capture_output=True,
        )
        answer = json.loads(done.stdout)
        (logged,) = MlflowClient(answer["tracking_uri"]).get_metric_history(
            answer["run_id"], "train/loss"
        )
        epoch = answer["metrics"]["last"]
        took = epoch["time/epoch_s"] + epoch["time/validation_s"]
        return logged.timestamp / 1000 - took - started

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
