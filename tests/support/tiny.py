"""A task small enough for unit tests: tell the remainder of the last token."""

from dataclasses import fields

import numpy as np

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.keys import word_keys
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID
from rnnlane.training.loop import TrainingData

VOCABULARY_SIZE = 30


def tiny_experiment(*overrides: str) -> ExperimentConfig:
    values = {
        "name": "tiny",
        "data": {"source": {"kind": "generated", "num_rows": 100}},
        "model": {"embedding_dim": 6, "hidden_size": 5, "cell": "lstm"},
        "training": {"epochs": 2, "global_batch_size": 12, "learning_rate": 0.01},
        "runtime": {"num_workers": 0, "device": "cpu"},
    }
    return experiment_from_mapping(values, overrides)


def tiny_split(num_rows: int, seed: int, num_classes: int = 2) -> EncodedSplit:
    """Rows of 2 to 14 tokens; the label is the remainder of the last token."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 15, num_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = random.integers(1, VOCABULARY_SIZE, offsets[-1]).astype(np.int32)
    labels = (token_ids[offsets[1:] - 1] % num_classes).astype(np.int64)
    unknown_keys = np.full(np.count_nonzero(token_ids == UNKNOWN_ID), 99, dtype=np.uint32)
    return EncodedSplit(token_ids, offsets.astype(np.int64), labels, unknown_keys)


def assert_same_rows(rows: EncodedSplit, expected: EncodedSplit) -> None:
    """All four arrays are equal."""
    for field in fields(EncodedSplit):
        found, wanted = (getattr(one, field.name) for one in (rows, expected))
        np.testing.assert_array_equal(found, wanted, err_msg=field.name)


def tiny_data(num_classes: int = 2, num_train: int = 101) -> TrainingData:
    """101 train rows: no batch size and no worker count divides them."""
    return TrainingData(
        splits={
            "train": tiny_split(num_train, 1, num_classes),
            "val": tiny_split(37, 2, num_classes),
            "test": tiny_split(41, 3, num_classes),
        },
        num_classes=num_classes,
        vocabulary_size=VOCABULARY_SIZE,
        word_keys=word_keys(map(str, range(VOCABULARY_SIZE))),
    )
