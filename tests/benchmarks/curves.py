"""Validation curves of the plain loop beside rnnlane's: `python -m tests.benchmarks.curves`.

Both start from the same weights and see the same batches in the same order; every trick of ours
(padded kernels, touched rows, flat exchange, flushed denormals) is off on the plain side. Two
float32 programs drift apart within an epoch, so the curves agree within the noise of seeds, not to
the last bit; single steps are compared to 1e-6 by the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.plain_loop import CPU, PlainClassifier, plain_step  # noqa: E402
from rnnlane import pipeline  # noqa: E402
from rnnlane.config import ExperimentConfig, load_experiment  # noqa: E402
from rnnlane.data.batches.encoded import EncodedSplit  # noqa: E402
from rnnlane.data.batches.plan import plan  # noqa: E402
from rnnlane.data.batches.tensors import BatchMaker  # noqa: E402
from rnnlane.data.prepare.prepared import PreparedData  # noqa: E402
from rnnlane.execution.environment import describe_environment  # noqa: E402
from rnnlane.execution.run import training_data  # noqa: E402
from rnnlane.models.classifier import build_model  # noqa: E402
from rnnlane.training.group import in_process  # noqa: E402
from rnnlane.training.loop import run_training  # noqa: E402


class Silence:
    """Events that nobody hears."""

    def progress(self, progress: Any) -> None:
        pass

    def epoch(self, history: Any) -> None:
        pass

    def checkpoint(self, write: Any) -> None:
        pass


def our_curve(config: ExperimentConfig, prepared: PreparedData) -> list[float]:
    """Validation accuracy after each epoch of rnnlane's loop with one worker."""
    data = training_data(config, prepared, splits=("train", "val"))
    outcome = run_training(config, data, group=in_process("cpu"), events=Silence())
    return [record["val/accuracy"] for record in outcome.history]


def plain_curve(config: ExperimentConfig, prepared: PreparedData, *, seed: int) -> list[float]:
    """The same of the plain loop, with torch's default threads."""
    train, val = prepared.split("train"), prepared.split("val")
    size = prepared.manifest.vocabulary_size
    start = build_model(config.model, vocabulary_size=size, num_classes=2, seed=seed)
    model = PlainClassifier(config.model, vocabulary_size=size)
    model.embedding.load_state_dict(start.embedding.state_dict())
    model.rnn.load_state_dict(start.body.encoder.rnn.state_dict())
    model.head.load_state_dict(start.body.head.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=config.training.learning_rate)
    make_batch = BatchMaker(train, CPU)
    curve = []
    for epoch in range(1, config.training.epochs + 1):
        steps = plan(
            train.labels,
            train.lengths,
            global_batch_size=config.training.global_batch_size,
            seed=seed,
            epoch=epoch,
            max_buckets=config.training.bucket_window,
        )
        for rows in steps:
            plain_step(model, optimizer, make_batch(rows))
        curve.append(_accuracy(model, val))
    return curve


@torch.inference_mode()
def _accuracy(model: nn.Module, split: EncodedSplit) -> float:
    right = 0
    make_batch = BatchMaker(split, CPU)
    for start in range(0, len(split), 32):
        batch = make_batch(split.lengths.argsort()[start : start + 32])
        right += int((model(batch.token_ids, batch.lengths).argmax(1) == batch.labels).sum())
    return right / len(split)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.curves", description=__doc__)
    parser.add_argument("--experiment", default="lstm-1")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    surroundings = describe_environment() | {"load before": f"{os.getloadavg()[0]:.2f}"}
    file = ROOT / "experiments" / f"{arguments.experiment}.yaml"
    best: dict[str, list[float]] = {"plain": [], "ours": []}
    for seed in arguments.seeds:
        config = load_experiment(
            file, [f"training.seed={seed}", f"training.epochs={arguments.epochs}"]
        )
        prepared = pipeline.prepare(config)
        curves = {
            "ours": our_curve(config, prepared),
            "plain": plain_curve(config, prepared, seed=seed),
        }
        for name, curve in curves.items():
            best[name].append(max(curve))
        print(json.dumps({"seed": seed, **curves}), flush=True)
    for name, values in best.items():
        print(f"{name}: best of the curve, mean {statistics.mean(values):.4f}, all {values}")
    print(surroundings | {"load after": f"{os.getloadavg()[0]:.2f}"})


if __name__ == "__main__":
    main()
