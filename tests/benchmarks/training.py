"""Training speed: as a user runs it, against the plain loop, and against the loop without Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, Row, alternate, medians, row
from benchmarks.plain_loop import plain_rows_per_s
from benchmarks.review_texts import shipped, write_csv
from rnnlane import pipeline
from rnnlane.reports.artifacts import resolved_yaml

NUM_ROWS = 4400
# Steps a round of the plain loop, so that each round takes some seconds.
PLAIN_STEPS = {"rnn-1": 40, "lstm-1": 16, "birnn-3": 12, "bilstm-3": 4}
AGAINST_PLAIN = {"rnn-1": 4.0, "lstm-1": 14.0, "birnn-3": 5.0, "bilstm-3": 16.0}
AGAINST_TORCHRUN = 0.97


def training_rows(name: str, folder: Path) -> list[Row]:
    """The two rows of one experiment; both use the same runs."""
    source = folder / "reviews.csv"
    if not source.exists():
        write_csv(source, NUM_ROWS)
    config = shipped(name, source, "training.epochs=2")
    file = folder / f"{name}.yaml"
    file.write_text(resolved_yaml(config), encoding="utf-8")
    prepared = pipeline.prepare(config)
    train = prepared.split("train")

    def ours() -> float:
        return float(pipeline.train(config).metrics["last"]["throughput/rows_per_s"])

    def plain() -> float:
        return plain_rows_per_s(
            config.model,
            train,
            vocabulary_size=prepared.manifest.vocabulary_size,
            num_steps=PLAIN_STEPS[name],
        )

    rounds = alternate(ours, lambda: without_ray(file), plain)
    mine, bare, loop = medians(rounds)
    details = {"rnnlane rows/s": mine, "torchrun": bare, "plain loop": loop}
    return [
        row(
            f"{name}, 2 workers: against the plain loop",
            [first / third for first, _, third in rounds],
            goal=AGAINST_PLAIN[name],
            details=details,
        ),
        row(
            f"{name}, 2 workers: against the same loop without Ray",
            [first / second for first, second, _ in rounds],
            goal=AGAINST_TORCHRUN,
        ),
    ]


def without_ray(file: Path) -> float:
    """Rows a second of two processes under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "tests.benchmarks.without_ray", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])
