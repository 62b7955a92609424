"""The steps of rnnlane's worker loop, and the rows that both loops are timed on."""

from __future__ import annotations

import itertools
import time

import numpy as np

from rnnlane.config import ExperimentConfig
from rnnlane.data.encoded import EncodedSplit
from rnnlane.models.classifier import build_model
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import cpu_settings
from rnnlane.training.step import Stepper, build_optimizer

VOCABULARY_SIZE = 30_000


def reviews(num_rows: int = 4096) -> EncodedSplit:
    """Rows with the lengths of IMDB reviews cut at 400 tokens, and words as Zipf has them."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.35, 0.65, num_rows), 10, 400).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.minimum(random.zipf(1.2, offsets[-1]), VOCABULARY_SIZE - 2) + 1
    return EncodedSplit(tokens.astype(np.int32), offsets, random.integers(0, 2, num_rows))


def our_rows_per_s(group: WorkerGroup, config: ExperimentConfig, num_steps: int) -> float:
    """Rows a second of the worker loop's steps, over all workers."""
    split = reviews()
    with cpu_settings(group):
        model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
        stepper = Stepper(
            model, build_optimizer(model, config.training), config.training, group=group
        )
        feed = TrainFeed(
            split, config.training, seed=0, vocabulary_size=VOCABULARY_SIZE, group=group
        )
        steps = feed.steps(1)
        stepper(next(steps), max_norm=3.0, rate=1e-3)
        started = time.perf_counter()
        for batch in itertools.islice(steps, num_steps):
            stepper(batch, max_norm=3.0, rate=1e-3)
    return 32 * num_steps / (time.perf_counter() - started)
