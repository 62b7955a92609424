"""`make bench`: speeds as ratios, measured side by side in one run.

Each row alternates between the two sides, so that a drift of the machine's load falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.our_loop import VOCABULARY_SIZE, our_rows_per_s, reviews  # noqa: E402
from benchmarks.plain_loop import plain_rows_per_s  # noqa: E402
from rnnlane.config import load_experiment  # noqa: E402
from rnnlane.runtime.environment import describe_environment  # noqa: E402
from support.workers import in_worker_group  # noqa: E402

ROUNDS = 3
# Steps a round of the plain loop, so that each round takes a few seconds on two slow cores.
PLAIN_STEPS = {"rnn-1": 20, "lstm-1": 8, "birnn-3": 6, "bilstm-3": 2}
OUR_STEPS = 40


@dataclass(frozen=True)
class Row:
    """One comparison; ratios are ours over theirs, above 1 where ours is faster."""

    name: str
    ours_rows_per_s: float
    theirs_rows_per_s: float
    ratio: float
    ratio_min: float
    ratio_max: float


def compare(name: str, ours: Callable[[], float], theirs: Callable[[], float]) -> Row:
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    ratios = [mine / other for mine, other in pairs]
    return Row(
        name,
        statistics.median(mine for mine, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def training_row(name: str, num_workers: int) -> Row:
    config = load_experiment(ROOT / "experiments" / f"{name}.yaml")
    split = reviews()
    return compare(
        f"{name}, {num_workers} worker(s) against the plain loop",
        lambda: in_worker_group(num_workers, our_rows_per_s, config, OUR_STEPS)[0],
        lambda: plain_rows_per_s(
            config.model, split, vocabulary_size=VOCABULARY_SIZE, num_steps=PLAIN_STEPS[name]
        ),
    )


ROWS = {
    f"{name}/{num_workers}": (name, num_workers) for name in PLAIN_STEPS for num_workers in (1, 2)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(ROWS), help="rows to measure")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    surroundings = describe_environment() | {"load before": f"{os.getloadavg()[0]:.2f}"}
    rows = []
    for key in arguments.only or ROWS:
        rows.append(training_row(*ROWS[key]))
        row = rows[-1]
        print(
            f"{row.name:45} {row.ours_rows_per_s:8,.0f} against {row.theirs_rows_per_s:7,.0f} "
            f"rows/s: {row.ratio:5.1f}x ({row.ratio_min:.1f} to {row.ratio_max:.1f})",
            flush=True,
        )
    surroundings["load after"] = f"{os.getloadavg()[0]:.2f}"
    for key, value in surroundings.items():
        print(f"  {key}: {value}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"rows": [asdict(row) for row in rows], "machine": surroundings}, indent=1)
        )


if __name__ == "__main__":
    main()
