"""The script that everyone writes first: one process reads, tokenizes, counts and encodes.

`python -m tests.benchmarks.sequential_prepare EXPERIMENT.yaml FOLDER`: the same tokens as rnnlane's
preparation, by the same NLTK tokenizer; prints rows a second.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from nltk.tokenize import WordPunctTokenizer

from rnnlane.config import load_experiment
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.sources import imdb
from rnnlane.data.storage import open_storage_path


def main() -> None:
    config = load_experiment(sys.argv[1])
    folder = Path(sys.argv[2])
    started = time.perf_counter()
    source = config.data.source
    assert isinstance(source, imdb.ImdbSource)
    assert config.text.tokenizer == "wordpunct"
    clean = TextProcessor.from_config(config.text).clean
    tokenize = WordPunctTokenizer().tokenize
    tokens, counts = [], Counter[str]()
    for row in imdb.read_archive(open_storage_path(source.archive_or_folder())):
        words = tokenize(clean((row.text or b"").decode()))
        if not row.official_test:
            counts.update(words)
        tokens.append(words)
    limits = config.text.vocabulary
    kept = [word for word, count in counts.most_common() if count >= limits.min_count]
    ids = {word: number for number, word in enumerate(kept[: limits.max_size], start=2)}
    rows = [
        np.array([ids.get(word, 1) for word in words[: config.text.max_length]], dtype=np.int32)
        for words in tokens
    ]
    np.save(folder / "tokens.npy", np.concatenate(rows))
    np.save(folder / "lengths.npy", np.array([len(row) for row in rows]))
    print(len(rows) / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
