"""The first weights of the n-gram channel: Naive Bayes of the train split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.models.ngrams import NgramChannel, fitted_scale, log_count_ratios, unseen_logits

# Counted at once: some 100 MB for texts of 250 words.
ROWS_AT_ONCE = 4096
# One number is fitted to them; its error is a few percent.
ROWS_OF_SCALE = 2048
_SCALED_AT_ONCE = 64

Ints = npt.NDArray[np.int64]


def start_as_naive_bayes_(channel: NgramChannel, train: EncodedSplit, hasher: NgramHasher) -> None:
    """Sets the channel's ratios, exactly and with the same bits on every worker of one kind.

    They are the log-count ratios times one number, with which they tell best what they say of train
    rows that are left out of the counts: else they would be far too certain.
    """
    num_buckets, num_classes = channel.ratio.shape
    counts = np.zeros((num_classes, num_buckets))
    for rows in _some_rows(np.arange(len(train)), ROWS_AT_ONCE):
        buckets, offsets = hasher(train.take(rows))
        labels = np.repeat(train.labels[rows], np.diff(offsets))
        np.add.at(counts.reshape(-1), labels * num_buckets + buckets, 1.0)
    smoothing = channel.config.smoothing
    ratios = log_count_ratios(counts, smoothing)
    sample = np.arange(0, len(train), -(-len(train) // ROWS_OF_SCALE))
    logits = [
        unseen_logits(
            counts, ratios, hasher(train.take(rows)), train.labels[rows], smoothing=smoothing
        )
        for rows in _some_rows(sample, _SCALED_AT_ONCE)
    ]
    scale = fitted_scale(np.concatenate(logits), train.labels[sample])
    channel.start_(scale * ratios)


def _some_rows(rows: Ints, num_rows: int) -> Iterator[Ints]:
    for start in range(0, len(rows), num_rows):
        yield rows[start : start + num_rows]
