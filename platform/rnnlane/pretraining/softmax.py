"""The loss of a language model: over the whole vocabulary, or over a sample of it.

Sampled: Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural
probabilistic language model", IEEE Transactions on Neural Networks, 2008.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

# Draws frequent tokens less often than they occur.
SAMPLING_POWER = 0.75


class Sampler:
    """Draws tokens for a step: a function of seed, epoch, step and direction.

    Args:
        counts: how often each token occurs, [V]; one with 0 is never drawn.

    Attributes:
        log_probabilities: float32 [V], of a draw.
    """

    def __init__(self, counts: Sequence[int]):
        weights = np.asarray(counts, dtype=np.float64) ** SAMPLING_POWER
        self._cumulative = np.cumsum(weights) / weights.sum()
        with np.errstate(divide="ignore"):
            self.log_probabilities = np.log(weights / weights.sum()).astype(np.float32)

    def draw(self, num_sampled: int, entropy: Sequence[int]) -> npt.NDArray[np.int64]:
        """Tokens with repetitions: int64 [num_sampled]."""
        random = np.random.default_rng(np.random.SeedSequence(entropy))
        drawn = np.searchsorted(self._cumulative, random.random(num_sampled), side="right")
        return np.minimum(drawn, len(self._cumulative) - 1)


def full_losses(features: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """-log p of each target, over the whole vocabulary.

    Args:
        features: float [N, E].
        table: float [V, E].
        bias: float [V]; -inf excludes a token.
        targets: int64 [N].

    Returns:
        float [N].
    """
    logits = torch.addmm(bias, features, table.t())
    return functional.cross_entropy(logits, targets, reduction="none")


def sampled_losses(
    features: Tensor,
    targets: Tensor,
    samples: Tensor,
    *,
    rows: Tensor,
    bias: Tensor,
    log_expected: Tensor,
) -> Tensor:
    """An estimate of -log p of each target, from a sample of the other tokens.

    The sum over the vocabulary is that of the target and an estimate of the rest: each sample has
    one over its expected number in the sample as its weight. A sample that is the target of a
    position does not count there.

    Args:
        features: float [N, E].
        targets: int64 [N], positions among the U rows.
        samples: int64 [K], positions among the rows.
        rows: float [U, E], of the table.
        bias: float [U], of the rows.
        log_expected: float [U]: log of the expected number of times each row is in the sample.

    Returns:
        float [N].
    """
    target_logits = (features * functional.embedding(targets, rows)).sum(dim=1) + bias[targets]
    offset = bias - log_expected
    logits = torch.addmm(offset[samples], features, functional.embedding(samples, rows).t())
    logits = logits.masked_fill(targets.unsqueeze(1) == samples, -torch.inf)  # [N, K]
    normalizer = torch.logaddexp(target_logits, logits.logsumexp(dim=1))
    return normalizer - target_logits
