"""Texts a second from the command line, against a plain loop in one process."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from nltk.tokenize import WordPunctTokenizer
from torch import nn

from benchmarks.measure import Row, alternate, medians, row
from benchmarks.plain_loop import PlainClassifier
from benchmarks.review_texts import shipped, write_csv, write_lines
from rnnlane import pipeline
from rnnlane.config import ExperimentConfig
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.reports.artifacts import resolved_yaml

NUM_TEXTS = 25_000
# The plain loop is timed on the first of them.
PLAIN_TEXTS = 1_000
NUM_TRAINED = 1_000


def predicting_rows(name: str, folder: Path) -> list[Row]:
    """The whole command, start and answers included."""
    source = folder / "few-reviews.csv"
    if not source.exists():
        write_csv(source, NUM_TRAINED)
    config = shipped(name, source, "training.epochs=1", "runtime.num_workers=0")
    run = _trained(config, folder / f"{name}-to-predict.yaml")
    prepared = pipeline.prepare(config)  # which is there already, and starts no Ray
    vocabulary = prepared.vocabulary()
    texts = write_lines(folder / "texts.txt", NUM_TEXTS)
    clean = TextProcessor.from_config(config.text).clean
    tokenize = WordPunctTokenizer().tokenize
    model = PlainClassifier(config.model, vocabulary_size=len(vocabulary)).eval()

    def ours() -> float:
        started = time.perf_counter()
        with (folder / "answers.txt").open("w") as answers:
            subprocess.run(
                [sys.executable, "-m", "rnnlane", "predict", "--run", run, "--file", str(texts)],
                env=dict(os.environ),
                stdout=answers,
                check=True,
            )
        return NUM_TEXTS / (time.perf_counter() - started)

    def plain() -> float:
        with texts.open(encoding="utf-8") as lines:
            some = list(itertools.islice(lines, PLAIN_TEXTS))
        started = time.perf_counter()
        plain_predict(
            model,
            vocabulary,
            lambda text: tokenize(clean(text)),
            some,
            max_length=config.text.max_length,
        )
        return PLAIN_TEXTS / (time.perf_counter() - started)

    rounds = alternate(ours, plain)
    mine, loop = medians(rounds)
    return [
        row(
            f"predict, {name}: 25,000 texts, against a plain loop",
            [first / second for first, second in rounds],
            goal=3.0,
            details={"rnnlane texts/s": mine, "plain loop": loop},
        )
    ]


def _trained(config: ExperimentConfig, file: Path) -> str:
    """Id of a run by a command of its own, so that no Ray idles beside what is measured."""
    file.write_text(resolved_yaml(config), encoding="utf-8")
    command = [sys.executable, "-m", "rnnlane", "train", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["run_id"])


@torch.inference_mode()
def plain_predict(
    model: nn.Module,
    vocabulary: Vocabulary,
    tokens_of: Callable[[str], list[str]],
    texts: list[str],
    *,
    max_length: int,
) -> list[int]:
    """Batches of 32 in the order of the file, packed, with torch's default threads."""
    answers: list[int] = []
    for start in range(0, len(texts), 32):
        rows = [
            vocabulary.encode(tokens_of(text), max_length=max_length, keep="head").token_ids
            for text in texts[start : start + 32]
        ]
        lengths = np.array([len(tokens) for tokens in rows])
        token_ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        for tokens, target in zip(rows, token_ids, strict=True):
            target[: len(tokens)] = tokens
        logits = model(torch.from_numpy(token_ids), torch.from_numpy(lengths))
        answers.extend(logits.argmax(dim=1).tolist())
    return answers
