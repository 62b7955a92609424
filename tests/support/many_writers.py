"""A process in which several trackers write at once: ``python many_writers.py FOLDER PROCESS``.

It creates its runs, then the file ``ready-PROCESS``, and starts to log once a file ``go`` exists.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rnnlane.config.tracking import TrackingConfig
from rnnlane.tracking.run import MlflowTracker, RunSpec, start_run

NUM_PROCESSES = 4
NUM_THREADS = 8
NUM_STEPS = 25
NUM_KEYS = 25
MLFLOW_EXPERIMENT = "many-writers"


def value_of(writer: int, step: int, key: int) -> float:
    """A value that is unique to the point."""
    return writer * 1e6 + step * 1e3 + key


def _start(folder: Path, writer: int) -> MlflowTracker:
    config = TrackingConfig(
        mlflow_experiment=MLFLOW_EXPERIMENT, system_metrics=False, flush_timeout_s=300
    )
    spec = RunSpec(name=f"writer-{writer}", predictor="m:C", class_names=("a", "b"))
    return start_run(config, spec, outbox=folder / f"outbox-{writer}")


def _write(tracker: MlflowTracker, writer: int) -> bool:
    history: list[dict[str, float]] = []
    for step in range(1, NUM_STEPS + 1):
        values = {f"metric/{key}": value_of(writer, step, key) for key in range(NUM_KEYS)}
        history.append({"epoch": step, **values})
        tracker.log_history(history)
    return tracker.finish("FINISHED")


def main(folder: Path, process: int) -> int:
    writers = range(process * NUM_THREADS, (process + 1) * NUM_THREADS)
    trackers = [_start(folder, writer) for writer in writers]
    (folder / f"ready-{process}").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return 0 if all(pool.map(_write, trackers, writers)) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
