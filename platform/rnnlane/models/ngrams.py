"""The n-gram channel: a linear classifier of hashed n-grams, which starts as Naive Bayes.

Wang and Manning, "Baselines and bigrams: simple, good sentiment and topic classification", ACL
2012: log-count ratios of Naive Bayes as the features of a linear classifier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlane.config.model import NgramConfig
from rnnlane.errors import ConfigError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Of the logits that a new channel gives.
LEAST_DEVIATION, LARGEST_SCALE = 0.1, 1024.0


def check_size(config: NgramConfig, *, num_classes: int) -> None:
    """Refuses a channel that takes gigabytes.

    Raises:
        ConfigError: it would take more than ``MAX_NGRAM_BYTES`` in training.
    """
    if reason := config.too_large(num_classes):
        most = config.most_bits(num_classes)
        raise ConfigError(reason, where="model.ngrams.bits", remedy=f"lower it to {most} or less")


class NgramChannel(nn.Module):
    """Adds up, over the distinct n-grams of a row, a number for each class.

    The number is a fixed ratio times a weight that is learned. So telling n-grams learn fast, and
    those that say nothing of the class hardly move. Of a weight a tenth as large, with ten times
    the ratio, Adam's steps are ten times as large: that is the channel's ``speed``.

    Attributes:
        config: which n-grams there are.
        ratio: float32 [2**bits, C]; zero until :meth:`start_` sets it.
        weight: float32 [2**bits, C], starts at 1 / speed.
    """

    ratio: Tensor

    def __init__(self, config: NgramConfig, *, num_classes: int):
        """A channel that says nothing.

        Raises:
            ConfigError: see :func:`check_size`.
        """
        check_size(config, num_classes=num_classes)
        super().__init__()
        self.config = config
        num_buckets = 2**config.bits
        self.register_buffer("ratio", torch.zeros(num_buckets, num_classes))
        self.weight = nn.Parameter(torch.full((num_buckets, num_classes), 1 / config.speed))

    def start_(self, values: Floats) -> None:
        """Lets each n-gram say so much at first: float64 [C, 2**bits]."""
        self.ratio.copy_(torch.from_numpy(self.config.speed * values.T))

    @property
    def has_dropout(self) -> bool:
        """Whether it draws random masks when it trains."""
        return self.config.dropout > 0

    def values(self, buckets: Tensor) -> Tensor:
        """What the n-grams of some buckets say, each alone: float32 [..., C] of int64 [...]."""
        return self.ratio[buckets] * self.weight[buckets]

    def forward(self, buckets: Tensor) -> Tensor:
        """What the n-grams of some rows say.

        Args:
            buckets: int64 [B, G], the distinct buckets of each row, padded with 0.

        Returns:
            Logits, float32 [B, C].
        """
        # Not of the whole table, which for a few short texts would take longer than the rest.
        found = self.values(buckets)  # [B, G, C]
        values = functional.pad(found.flatten(0, 1), (0, 0, 1, 0))
        numbers = torch.arange(1, len(values), device=buckets.device).view_as(buckets)
        return self.logits(values, numbers * (buckets > 0))

    def logits(self, values: Tensor, places: Tensor) -> Tensor:
        """As :meth:`forward`, of some buckets' values.

        Args:
            values: float32 [U, C], ratio times weight; padding first.
            places: int64 [B, G], for each n-gram its place among the values; padding is 0.
        """
        shares = torch.ones_like(places, dtype=values.dtype)
        if self.training:
            shares = functional.dropout(shares, self.config.dropout)
        return functional.embedding_bag(
            places, values, mode="sum", per_sample_weights=shares, padding_idx=0
        )


def log_count_ratios(counts: Floats, smoothing: float) -> Floats:
    """How much more often a bucket is in rows of a class than in those of all others, as a log.

    With p a class's counts plus the smoothing and q those of all other classes together plus the
    smoothing, each divided by its sum: log(p / q). Of two classes one is the other's negative.

    Args:
        counts: float64 [C, F], rows of each class that have the bucket.
        smoothing: above 0.

    Returns:
        float64 [C, F]; 0 for buckets that no row has, which are in no sum either.
    """
    occurs = counts.sum(axis=0) > 0
    inside, outside = counts + smoothing, counts.sum(axis=0) - counts + smoothing
    ratios: Floats = _logs(inside, occurs) - _logs(outside, occurs)
    ratios[:, ~occurs] = 0.0
    return ratios


def _logs(smoothed: Floats, occurs: npt.NDArray[np.bool_]) -> Floats:
    logs: Floats = np.log(smoothed) - np.log(smoothed[:, occurs].sum(axis=1, keepdims=True))
    return logs


def unseen_logits(
    counts: Floats, ratios: Floats, rows: tuple[Ints, Ints], labels: Ints, *, smoothing: float
) -> Floats:
    """What the ratios would say of rows if these had not been counted: float64 [N, C].

    Of rows that were, they say whose they are. Without a row, each of its buckets counts one less
    in the row's class; the sums, which hardly change, stay.

    Args:
        counts, ratios, smoothing: see :func:`log_count_ratios`; the rows are counted.
        rows: int64 [M], the distinct buckets of each row, one row after the other, and int64
            [N + 1], where each begins and the last ends; none is empty.
        labels: int64 [N], in [0, C).
    """
    buckets, offsets = rows
    own = np.repeat(labels, np.diff(offsets))  # [M]
    inside = counts[:, buckets]  # [C, M]
    outside = counts.sum(axis=0)[buckets] - inside
    is_own = np.arange(len(counts))[:, np.newaxis] == own
    fewer = np.where(is_own, inside, outside)  # the row is among them
    change = np.log(fewer - 1 + smoothing) - np.log(fewer + smoothing)
    values = ratios[:, buckets] + np.where(is_own, change, -change)
    logits: Floats = np.add.reduceat(values, offsets[:-1], axis=1).T
    return logits


def fitted_scale(logits: Floats, labels: Ints) -> float:
    """The factor, up to 1024, with which the softmax of logits has the least cross-entropy.

    At least such that their standard deviation is a tenth: with 0, nothing could be learned.

    Args:
        logits: float64 [N, C].
        labels: int64 [N], in [0, C).
    """
    from scipy.optimize import brentq

    true = logits[np.arange(len(labels)), labels]

    def slope(scale: float) -> float:
        """Rises with the scale: the cross-entropy is convex."""
        scaled = scale * logits
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return float(((shares * logits).sum(axis=1) - true).mean())

    deviation = float(logits.std())
    least = min(LARGEST_SCALE, LEAST_DEVIATION / deviation) if deviation > 0 else 1.0
    largest = least
    while slope(largest) < 0:
        if largest >= LARGEST_SCALE:
            return largest
        largest *= 2
    return least if largest == least else float(brentq(slope, least, largest))
