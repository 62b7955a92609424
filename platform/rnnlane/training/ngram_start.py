"""The first weights of the n-gram channel: Naive Bayes of the train split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.models.ngrams import NgramChannel, fitted_scale, log_count_ratios, unseen_logits
from rnnlane.training.group import WorkerGroup

# One number is fitted to them; its error is a few percent.
ROWS_OF_SCALE = 2048
_SCALED_AT_ONCE = 64


def start_as_naive_bayes_(
    channel: NgramChannel,
    train: EncodedSplit | StreamedSplit,
    hasher: NgramHasher,
    *,
    group: WorkerGroup,
) -> None:
    """Sets the channel's ratios; every worker must call it.

    They are the log-count ratios times one number, with which they tell best what they say of train
    rows that are left out of the counts: else they would be far too certain. Each worker counts a
    part of the rows. Counts are exact, so that all get the same bits however many workers there
    are, on CPUs of one kind.
    """
    num_buckets, num_classes = channel.ratio.shape
    counts = torch.zeros(num_classes, num_buckets, dtype=torch.float64)
    every = -(-len(train) // ROWS_OF_SCALE)  # a row of so many is among those of the scale
    sampled = []
    for number in group.own_shards(train.num_chunks):
        row_ids, rows = train.chunk(number)
        buckets, offsets = hasher(rows)
        labels = np.repeat(rows.labels, np.diff(offsets))
        np.add.at(counts.numpy().reshape(-1), labels * num_buckets + buckets, 1.0)
        chosen = np.flatnonzero(row_ids % every == 0)
        sampled.append((row_ids[chosen] // every, rows.take(chosen)))
    counted = _sum(counts, group).numpy()
    smoothing = channel.config.smoothing
    ratios = log_count_ratios(counted, smoothing)
    num_sampled = -(-len(train) // every)
    logits = torch.zeros(num_sampled, num_classes, dtype=torch.float64)
    labels_of = torch.zeros(num_sampled, dtype=torch.int64)
    for places, rows in sampled:
        labels_of.numpy()[places] = rows.labels
        for first in range(0, len(rows), _SCALED_AT_ONCE):
            some = np.arange(first, min(len(rows), first + _SCALED_AT_ONCE))
            taken = rows.take(some)
            logits.numpy()[places[some]] = unseen_logits(
                counted, ratios, hasher(taken), taken.labels, smoothing=smoothing
            )
    scale = fitted_scale(_sum(logits, group).numpy(), _sum(labels_of, group).numpy())
    channel.start_(scale * ratios)


def _sum(values: Tensor, group: WorkerGroup) -> Tensor:
    """Over the workers, on the host; NCCL adds on devices alone."""
    return group.sum_(values.to(group.device)).cpu()
