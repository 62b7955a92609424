"""Whole runs of the tiny task."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit, appended
from rnnlane.models.classifier import build_model
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TRAIN_AND_VAL, Outcome, run_training
from rnnlane.training.metrics import Scores, score
from support.events import Remembered
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment, tiny_split

ALONE = WorkerGroup(0, 1, torch.device("cpu"))


def tiny_feed(
    config: ExperimentConfig, split: EncodedSplit | None = None, *, group=ALONE, **changes: Any
) -> TrainFeed:
    """The batches of an experiment; default: of the tiny task's train split."""
    return TrainFeed(
        split or tiny_data().splits["train"],
        config.training,
        seed=0,
        vocabulary_size=VOCABULARY_SIZE,
        group=group,
        hasher=tiny_data().hasher(config.model),
        **changes,
    )


def trained(*overrides: str, events=None, start=None, group=ALONE, num_classes=2) -> Outcome:
    config, data = tiny_experiment(*overrides), tiny_data(num_classes)
    if config.training.refit:
        union = appended(data.splits["train"], data.splits["val"])
        data = replace(data, splits={**data.splits, TRAIN_AND_VAL: union})
    return run_training(config, data, group=group, events=events or Remembered(), start=start)


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [
        {
            key: value
            for key, value in record.items()
            if not key.startswith("time/") and not key.endswith("_per_s")
        }
        for record in history
    ]


def assert_same_run(one: Outcome, other: Outcome) -> None:
    """The same bits, but for how long it took."""
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)
    assert timeless(one.history) == timeless(other.history)
    np.testing.assert_array_equal(one.losses, other.losses)


def scored(group: WorkerGroup, num_rows: int, num_classes: int, *, kept=None) -> Scores:
    config = tiny_experiment()
    model = build_model(
        config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=num_classes, seed=0
    ).eval()
    split = tiny_split(num_rows, 5, num_classes)
    return score(model, split, group=group, kept=kept, num_classes=num_classes)
