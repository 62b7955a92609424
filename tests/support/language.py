"""A tiny corpus in which the next token follows from the last, and language models of it."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import FileSplit
from rnnlane.pretraining.loop import run_pretraining
from rnnlane.training.loop import Outcome, TrainingData
from support.events import Remembered
from support.runs import ALONE
from support.shards import prepared_of
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
    none_unknown = np.zeros(0, dtype=np.uint32)
    return EncodedSplit(token_ids.astype(np.int32), offsets, np.full(num_rows, -1), none_unknown)


def language_splits() -> dict[str, EncodedSplit]:
    sizes = {"train": 50, "unlabeled": 60, "val": 17}
    return {name: counting_split(size, seed) for seed, (name, size) in enumerate(sizes.items())}


def in_files(folder: Path) -> dict[str, FileSplit]:
    """The splits as files, of which each is a piece."""
    return {
        name: FileSplit(prepared_of(folder / name, split, 0, name=name), name, piece_bytes=1)
        for name, split in language_splits().items()
    }


def language_data(folder: Path | None = None) -> TrainingData:
    """The texts in memory, or in files below a folder."""
    splits = language_splits()
    learned = np.concatenate([splits[name].token_ids for name in ("train", "unlabeled")])
    counts = np.bincount(learned, minlength=VOCABULARY_SIZE)
    return TrainingData(
        splits=splits if folder is None else in_files(folder),
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
    *overrides: str,
    events: Any = None,
    start: Any = None,
    group: Any = ALONE,
    folder: Path | None = None,
) -> Outcome:
    config, data = language_experiment(*overrides), language_data(folder)
    return run_pretraining(config, data, group=group, events=events or Remembered(), start=start)
