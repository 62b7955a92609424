"""A tiny corpus in which the next token follows from the last, and language models of it."""

from typing import Any

import numpy as np

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.pretraining.loop import run_pretraining
from rnnlane.training.loop import Outcome, TrainingData
from support.events import Remembered
from support.runs import ALONE
from support.tiny import VOCABULARY_SIZE, tiny_experiment


def counting_split(num_rows: int, seed: int) -> EncodedSplit:
    """Rows of 1 to 14 tokens, each the last plus 1 or plus 2 (beyond the last token from 2 on)."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 15, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    steps = random.integers(1, 3, offsets[-1])
    starts = np.repeat(random.integers(0, VOCABULARY_SIZE - 2, num_rows), lengths)
    walked = np.cumsum(steps) - np.repeat(np.cumsum(steps)[offsets[:-1]], lengths)
    token_ids = 2 + (starts + walked) % (VOCABULARY_SIZE - 2)
    return EncodedSplit(token_ids.astype(np.int32), offsets, np.full(num_rows, -1))


def language_data() -> TrainingData:
    splits = {
        name: counting_split(num_rows, seed)
        for seed, (name, num_rows) in enumerate({"train": 50, "unlabeled": 60, "val": 17}.items())
    }
    learned = np.concatenate([splits[name].token_ids for name in ("train", "unlabeled")])
    counts = np.bincount(learned, minlength=VOCABULARY_SIZE)
    return TrainingData(
        splits=splits,
        num_classes=0,
        vocabulary_size=VOCABULARY_SIZE,
        token_counts=tuple(counts.tolist()),
    )


SETTINGS = (
    "pretraining.epochs=2",
    "pretraining.global_batch_size=5",
    "pretraining.bptt=7",
    "pretraining.learning_rate=0.01",
    "model.bidirectional=true",
)


def language_experiment(*overrides: str) -> ExperimentConfig:
    config = tiny_experiment(*SETTINGS, *overrides)
    return config.model_copy(update={"training": config.pretraining.as_training()})


def pretrained(
    *overrides: str, events: Any = None, start: Any = None, group: Any = ALONE
) -> Outcome:
    config = language_experiment(*overrides)
    return run_pretraining(
        config, language_data(), group=group, events=events or Remembered(), start=start
    )
