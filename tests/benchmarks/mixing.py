"""What it costs that rows meet in windows only: validation loss against a full shuffle.

Three seeds each of the rows in memory; of shards with the rows in the order that `prepare` gives
them, that of a hash; and of shards with the rows in the order of the archive, by class and film,
which nothing makes: the worst case.
"""

from __future__ import annotations

import functools
import itertools
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, row
from benchmarks.review_texts import review_texts
from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.data.batches.windows import class_order
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.execution import streaming
from rnnlane.execution.streaming import made_shards
from rnnlane.inference.predictor import encoded_split
from rnnlane.records.events import RunEvents
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TrainingData, run_training
from support.shards import prepared_of

SEEDS = (0, 1, 2)
EPOCHS = 3
NUM_ROWS, VAL_SHARE = 25_000, 0.1
# Some 20 windows, and 20 shards a class of which six are read at once.
WINDOW_TOKENS, SHARD_ROWS, GROUP_ROWS = 2**17, 500, 50


def mixing_rows(folder: Path) -> list[Row]:
    """Best validation loss by how the rows of train are kept."""
    config = _experiment()
    train, val, vocabulary_size = _in_order_of_the_archive(config)
    shuffled = train.take(np.random.default_rng(0).permutation(len(train)))
    layout = streaming.LAYOUT._replace(
        shard_bytes=int(4 * SHARD_ROWS * train.num_tokens / len(train)),
        group_bytes=int(4 * GROUP_ROWS * train.num_tokens / len(train)),
        least_group_bytes=1,
    )
    streaming.LAYOUT = layout
    sides: dict[str, EncodedSplit | StreamedSplit] = {"in memory": shuffled}
    for name, rows in (("streamed", shuffled), ("streamed, sorted", train)):
        shards = made_shards(prepared_of(folder / name, rows, 2), "train", RunEvents())
        sides[name] = StreamedSplit(shards, window_tokens=WINDOW_TOKENS)
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for seed in SEEDS:
        for name, rows in sides.items():
            data = TrainingData({"val": val}, num_classes=2, vocabulary_size=vocabulary_size)
            if isinstance(rows, StreamedSplit):
                data = replace(data, streamed={"train": rows})
            else:
                data = replace(data, splits={"val": val, "train": rows})
            losses[name].append(_best_val_loss(config, data, seed))
    spread = {f"{name}, of seeds": statistics.stdev(found) for name, found in losses.items()}
    means = {name: statistics.mean(found) for name, found in losses.items()}
    ratios = functools.partial(_ratios, losses)
    return [
        row(
            "mixing: val loss, streamed against all rows shuffled",
            ratios("streamed"),
            goal=1.02,
            is_limit=True,
            details=means | spread,
        ),
        row("mixing: the same, shards sorted by class and film", ratios("streamed, sorted")),
        row("mixing: rows of a shard are spread over so many shards", _shards_spread_over()),
    ]


def _shards_spread_over(num_shards: int = 100, num_groups: int = 48) -> list[float]:
    """The steps from the first row of a shard to its last, in shards of rows."""
    spans = []
    for epoch in range(len(SEEDS)):
        groups = [[1] * num_groups] * num_shards
        shards = class_order(groups, seed=0, epoch=epoch, label=0).shards
        places = [np.flatnonzero(shards == shard) for shard in range(num_shards)]
        spans += [float(place[-1] - place[0] + 1) / num_groups for place in places]
    return spans


def _ratios(losses: dict[str, list[float]], name: str) -> list[float]:
    return [a / b for a, b in zip(losses[name], losses["in memory"], strict=True)]


def _experiment() -> ExperimentConfig:
    return experiment_from_mapping(
        {
            "name": "mixing",
            "data": {"source": {"kind": "generated"}},
            "text": {"max_length": 128, "vocabulary": {"max_size": 10_000}},
            "model": {
                "cell": "gru",
                "embedding_dim": 48,
                "hidden_size": 32,
                "pooling": "max",
                "embedding_dropout": 0.3,
            },
            "training": {
                "epochs": EPOCHS,
                "global_batch_size": 32,
                "learning_rate": 2e-3,
                "clip": {"policy": "fixed", "max_norm": 1.0},
            },
            "runtime": {"device": "cpu"},
        }
    )


def _in_order_of_the_archive(config: ExperimentConfig) -> tuple[EncodedSplit, EncodedSplit, int]:
    """Train, val and the vocabulary's size; val has the last rows of each class."""
    processor = TextProcessor.from_config(config.text)
    by_class: dict[str, list[list[str]]] = {}
    for text, name in itertools.islice(review_texts(), NUM_ROWS):
        by_class.setdefault(name, []).append(processor(text)[: config.text.max_length])
    learned, held = [], []
    for label, rows in enumerate(by_class.values()):
        num_train = round((1 - VAL_SHARE) * len(rows))
        learned += [(row, label) for row in rows[:num_train]]
        held += [(row, label) for row in rows[num_train:]]
    counts = Counter(token for row, _ in learned for token in row)
    vocabulary = Vocabulary.fit(counts, config.text.vocabulary)

    def encoded(rows: list[tuple[list[str], int]]) -> EncodedSplit:
        most = config.text.max_length
        texts = [vocabulary.encode(row, max_length=most, keep="head") for row, _ in rows]
        return encoded_split(texts, np.array([label for _, label in rows]))

    return encoded(learned), encoded(held), len(vocabulary)


def _best_val_loss(config: ExperimentConfig, data: TrainingData, seed: int) -> float:
    training = config.training.model_copy(update={"seed": seed})
    seeded = config.model_copy(update={"training": training})
    alone = WorkerGroup(0, 1, torch.device("cpu"))
    outcome = run_training(seeded, data, group=alone, events=RunEvents())
    return min(record["val/loss"] for record in outcome.history)
