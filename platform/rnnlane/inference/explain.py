"""How much each token of a text adds to a model's answer: integrated gradients.

Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017: the gradient of
the label's log-odds, averaged over the way from a text that says nothing (every vector zero, as
``model.token_dropout`` leaves it) to the text, times the token's vector. The shares add up to what
the text changes. Leaving tokens out one at a time would take as many passes as a text has tokens,
and would give nothing to evidence that a text has twice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.models.linear import LinearClassifier, TfidfClassifier
from rnnlane.models.naive_bayes import NaiveBayesClassifier

# Doubled until the sum is right to within this, in log-odds.
_TOLERANCE = 0.02
_FEWEST_STEPS, _MOST_STEPS = 32, 1024
_TOKENS_AT_ONCE = 16_384

Floats = npt.NDArray[np.float64]
LogOdds = Callable[[Tensor], Tensor]
"""Log-odds [B] of the label, of logits [B, C]."""


def token_shares(
    model: nn.Module,
    text: EncodedSplit,
    label: int,
    *,
    temperature: float = 1.0,
    hasher: NgramHasher | None = None,
) -> tuple[Floats, float, float]:
    """Each token's share in the log-odds of a label.

    Args:
        model: as a bundle has it.
        text: one row, of T tokens, as the model reads them.
        label: index of the class, in [0, C).
        temperature: divides the logits.
        hasher: finds the n-grams for a model that reads them.

    Returns:
        The shares float64 [T]; the log-odds where no token says anything; those of the text.
    """

    def log_odds(logits: Tensor) -> Tensor:
        return _log_odds(logits / temperature, label)

    if isinstance(model, NaiveBayesClassifier):
        assert hasher is not None
        said = _said_by_ngrams(model.values, text, hasher, num_classes=len(model.bias))
        return _of_linear(model, said, log_odds)
    if isinstance(model, TfidfClassifier):
        return _of_linear(model, torch.from_numpy(model.contributions(text.token_ids)), log_odds)
    assert isinstance(model, RecurrentClassifier)
    num_classes = model.body.head.out_features
    said = torch.zeros(len(text.token_ids), num_classes)
    if model.ngrams is not None:
        assert hasher is not None
        said = _said_by_ngrams(model.ngrams.values, text, hasher, num_classes=num_classes).float()
        temperature = 2 * temperature  # of the sum of two parts' logits, for that of their mean
    return _of_recurrent(model, text.token_ids, said, log_odds)


def _of_recurrent(
    model: RecurrentClassifier,
    token_ids: npt.NDArray[np.integer],
    said: Tensor,
    log_odds: LogOdds,
) -> tuple[Floats, float, float]:
    """The shares, where the tokens' n-grams say ``said``, float [T, C], on the same way."""
    ids = torch.from_numpy(token_ids.astype(np.int64))
    embedded = model.embedding(ids).detach()  # [T, E]
    ends = torch.stack([torch.zeros_like(embedded), embedded])
    with torch.no_grad():
        logits = model.body(ends, _lengths(ends))
        base, whole = log_odds(logits + torch.stack([0 * said, said]).sum(dim=1)).tolist()
    num_steps = _FEWEST_STEPS
    while True:
        shares = _integral(model, embedded, said, log_odds, num_steps)
        is_good = abs(whole - base - shares.sum()) <= _TOLERANCE
        if is_good or num_steps >= _MOST_STEPS:
            return shares, base, whole
        num_steps *= 2


def _integral(
    model: RecurrentClassifier, embedded: Tensor, said: Tensor, log_odds: LogOdds, num_steps: int
) -> Floats:
    """The shares [T], with the gradient at the middle of each of ``num_steps`` equal steps."""
    summed = torch.zeros_like(embedded, dtype=torch.float64)
    of_logits = torch.zeros(said.shape[1], dtype=torch.float64)
    middles = (torch.arange(num_steps, dtype=embedded.dtype) + 0.5) / num_steps
    for some in torch.split(middles, max(1, _TOKENS_AT_ONCE // len(embedded))):
        points = (some[:, None, None] * embedded).requires_grad_()
        logits = model.body(points, _lengths(points)) + some[:, None] * said.sum(dim=0)
        gradient, of_these = torch.autograd.grad(log_odds(logits).sum(), [points, logits])
        summed += gradient.double().sum(dim=0)
        of_logits += of_these.double().sum(dim=0)
    of_embedded = (summed / num_steps * embedded).sum(dim=1)
    shares: Floats = (of_embedded + said.double() @ (of_logits / num_steps)).numpy()
    return shares


@torch.no_grad()
def _said_by_ngrams(
    values_of: Callable[[Tensor], Tensor],
    text: EncodedSplit,
    hasher: NgramHasher,
    *,
    num_classes: int,
) -> Tensor:
    """What each token of a text adds to the logits by its n-grams: float64 [T, C].

    An n-gram counts once, however often the text has it: that belongs to its occurrences, and to
    the tokens of each, in equal parts.

    Args:
        values_of: buckets int64 [K] -> what each says, [K, C].
        text: one row, of T tokens.
        hasher: of the model.
        num_classes: C.
    """
    places = list(hasher.occurrences(text))
    times = np.bincount(np.concatenate([buckets for _, buckets in places]))
    said = torch.zeros(len(text.token_ids), num_classes, dtype=torch.float64)
    for length, (first, buckets) in enumerate(places, start=1):
        shares = torch.from_numpy(times[buckets] * length)
        each = values_of(torch.from_numpy(buckets)).double() / shares[:, None]  # [K, C]
        for offset in range(length):
            said.index_add_(0, torch.from_numpy(first + offset), each)
    return said


def _of_linear(
    model: LinearClassifier, contributions: Tensor, log_odds: LogOdds
) -> tuple[Floats, float, float]:
    """The same where what each token adds is known: float64 [T, C]."""
    change, bias = contributions.sum(dim=0), model.bias
    middles = (torch.arange(_MOST_STEPS, dtype=torch.float64) + 0.5) / _MOST_STEPS
    scores = (bias + middles[:, None] * change).requires_grad_()
    (gradient,) = torch.autograd.grad(log_odds(model.link(scores)).sum(), scores)
    shares: Floats = (contributions @ gradient.mean(dim=0).nan_to_num()).numpy()
    base, whole = log_odds(model.link(torch.stack([bias, bias + change]))).tolist()
    return shares, base, whole


def _log_odds(logits: Tensor, label: int) -> Tensor:
    """ln(p / (1 - p)) of a class: float [B] of logits [B, C]."""
    others = torch.ones(logits.shape[1], dtype=torch.bool)
    others[label] = False
    return logits[:, label] - logits[:, others].logsumexp(dim=1)


def _lengths(rows: Tensor) -> Tensor:
    return torch.full((len(rows),), rows.shape[1], dtype=torch.int64, device=rows.device)
