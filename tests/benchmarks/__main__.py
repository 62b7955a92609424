"""`make bench`: speeds as ratios, measured side by side in one run.

Sides are measured in turn, so that a drift of the machine's load falls on all of them. Pick rows
by the beginnings of their keys: `python -m tests.benchmarks --only training/lstm limit`.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

# The plain loops run in this process, with torch's defaults: its first tensor settles that, before
# rnnlane asks for huge pages for the processes that run its own loop.
torch.zeros(1)

from benchmarks.gpu import BATCH_SIZES, Effort, gpu_rows  # noqa: E402
from benchmarks.measure import Row  # noqa: E402
from benchmarks.mixing import mixing_rows  # noqa: E402
from benchmarks.predicting import predicting_rows  # noqa: E402
from benchmarks.preparing import cold_rows, memory_rows, speed_rows  # noqa: E402
from benchmarks.review_texts import NAMES, kind  # noqa: E402
from benchmarks.starting import starting_rows  # noqa: E402
from benchmarks.steps import bytes_rows, limit_rows, scaling_rows, shards_rows  # noqa: E402
from benchmarks.streaming import memory_rows as streaming_memory_rows  # noqa: E402
from benchmarks.streaming import streaming_rows  # noqa: E402
from benchmarks.training import training_rows  # noqa: E402
from rnnlane.execution.environment import describe_environment  # noqa: E402

Measure = Callable[[Path], Iterable[Row]]


def _all_rows(effort: Effort) -> dict[str, Measure]:
    """What can be measured, by key, in the order of measuring."""
    measures: dict[str, Measure] = {
        f"{key}/{name}": functools.partial(function, name)
        for key, function in {"limit": limit_rows, "bytes": bytes_rows}.items()
        for name in NAMES
    }
    measures["scaling/bilstm-3"] = functools.partial(scaling_rows, "bilstm-3")
    for name in ("lstm-1", "bilstm-3"):
        measures[f"shards/{name}"] = functools.partial(shards_rows, name)
    for name in ("rnn-1", "lstm-1"):
        measures[f"streaming/{name}"] = functools.partial(streaming_rows, name)
    measures["streaming/memory"] = streaming_memory_rows
    measures["streaming/mixing"] = mixing_rows
    measures["start"] = starting_rows
    measures["predict/lstm-1"] = functools.partial(predicting_rows, "lstm-1")
    for name in NAMES:
        for size in BATCH_SIZES:
            on_gpu = functools.partial(gpu_rows, name, size, effort=effort)
            measures[f"gpu/{name}/{size}"] = on_gpu
    # From here on a Ray of this process idles beside what is measured.
    for name in NAMES:
        measures[f"training/{name}"] = functools.partial(training_rows, name)
    measures |= {"prepare/speed": speed_rows, "prepare/cold": cold_rows}
    measures["prepare/memory"] = memory_rows
    return measures


def main() -> None:
    keys = list(_all_rows(Effort()))
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="KEY", help=f"of {', '.join(keys)}")
    parser.add_argument(
        "--seconds",
        type=float,
        default=Effort.seconds,
        help="of each side in each round of the GPU rows (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    picked = tuple(arguments.only or [""])
    measures = _all_rows(Effort(seconds=arguments.seconds))
    chosen = {key: measure for key, measure in measures.items() if key.startswith(picked)}
    if not chosen:
        parser.error(f"no row begins with {' or '.join(picked)}; there are {', '.join(keys)}")
    surroundings = describe_environment() | {
        "reviews": kind(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
    started = time.perf_counter()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RNNLANE_HOME"] = f"{folder}/home"
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        for measure in chosen.values():
            for row in measure(Path(folder)):
                rows.append(row)
                print(row.as_text(), flush=True)
                if arguments.json:  # at each row: whoever stops this early has those before
                    _write(arguments.json, rows, surroundings)
    surroundings["load after"] = f"{os.getloadavg()[0]:.2f}"
    surroundings["seconds"] = f"{time.perf_counter() - started:.0f}"
    for key, value in surroundings.items():
        print(f"  {key}: {value}")
    if arguments.json:
        _write(arguments.json, rows, surroundings)


def _write(file: Path, rows: list[Row], surroundings: dict[str, str]) -> None:
    figures = {"rows": [asdict(row) for row in rows], "machine": surroundings}
    file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
