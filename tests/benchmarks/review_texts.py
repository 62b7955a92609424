"""What benchmarks run on: real reviews where RNNLANE_IMDB names them, else words as many."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT
from rnnlane.config import ExperimentConfig, load_experiment
from rnnlane.data.sources import imdb
from rnnlane.data.storage import open_storage_path

NAMES = ("rnn-1", "lstm-1", "birnn-3", "bilstm-3")


def archive() -> str | None:
    """The published archive of reviews, where the environment names it."""
    found = os.environ.get("RNNLANE_IMDB")
    return str(Path(found).absolute()) if found else None


def kind() -> str:
    """Which texts these are, for people."""
    return "IMDB reviews" if archive() else "made-up words, lengths as of IMDB reviews"


def review_texts() -> Iterator[tuple[str, str]]:
    """(text on one line, label) of reviews, the classes in turn."""
    path = archive()
    if path is None:
        yield from _made_up()
        return
    by_label: dict[str, list[str]] = {"neg": [], "pos": []}
    for row in imdb.read_archive(open_storage_path(path)):
        if row.label is not None and not row.official_test:
            by_label[row.label].append(" ".join((row.text or b"").decode().split()))
    for texts in zip(*by_label.values(), strict=True):
        yield from zip(texts, by_label, strict=True)


def _made_up() -> Iterator[tuple[str, str]]:
    """Lengths and word frequencies of IMDB reviews, as its log-normal and Zipf fits have them."""
    random = np.random.default_rng(0)
    for label in itertools.cycle(("neg", "pos")):
        length = int(np.clip(random.lognormal(5.35, 0.65), 10, 2500))
        words = np.minimum(random.zipf(1.2, length), 100_000)
        yield " ".join(f"w{word}" for word in words), label


def write_csv(file: Path, num_rows: int) -> Path:
    """A CSV file of reviews."""
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        writer.writerows(itertools.islice(review_texts(), num_rows))
    return file


def write_lines(file: Path, num_rows: int) -> Path:
    """A file with one text a line."""
    texts = itertools.islice(itertools.cycle(review_texts()), num_rows)
    file.write_text("".join(f"{text}\n" for text, _ in texts), encoding="utf-8")
    return file


def shipped(name: str, source: Path, *overrides: str) -> ExperimentConfig:
    """A shipped experiment, its shape and batches unchanged, on the rows of a CSV file."""
    return load_experiment(
        ROOT / "experiments" / f"{name}.yaml",
        [
            f"data.source={{kind: csv, path: {source}}}",
            "data.test=0.02",
            "data.val=0.02",
            # Fewer reviews have fewer words: every one counts, for a table of 30,000 rows.
            "text.vocabulary.min_count=1",
            "runtime.num_workers=2",
            "runtime.device=cpu",
            "tracking.system_metrics=false",
            *overrides,
        ],
    )
