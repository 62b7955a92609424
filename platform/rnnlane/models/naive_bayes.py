"""The strong baseline: naive Bayes log-ratios of hashed n-grams -> logistic regression.

Wang and Manning, "Baselines and bigrams: simple, good sentiment and topic classification", ACL
2012, with logistic regression and n-grams of up to three words, as Mesnil et al., "Ensemble of
generative and discriminative techniques for sentiment analysis of movie reviews", 2014, have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.baseline import BaselineConfig
from rnnlane.models.linear import LinearClassifier
from rnnlane.models.ngrams import log_count_ratios

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# The weights of all classes together: 256 MiB.
MAX_WEIGHTS = 2**26
# Occurrences of n-grams that are fitted: this many take some 3 GB and minutes.
MAX_OCCURRENCES = 2**26
# Added to each count, as in the paper.
SMOOTHING = 1.0


class NaiveBayesClassifier(LinearClassifier):
    """A linear classifier of the n-grams that a row has, each counted once.

    Attributes:
        hash_bits: n-grams share 2 ** hash_bits buckets; 0 is padding.
        num_words: words of the longest n-gram.
        weight: float32 [2 ** hash_bits, K], of each bucket, for each class in ``classes``; 0 of
            padding.
        classes: int64 [K]: of two classes the second; of more all, each against the others.
        bias: float64 [C]; -inf for a class without train rows.
    """

    weight: Tensor
    classes: Tensor

    def __init__(self, *, num_classes: int, num_outputs: int, hash_bits: int, num_words: int):
        """Allocates the buffers, for :func:`fit_naive_bayes` or a state dict to fill.

        Args:
            num_classes: C.
            num_outputs: K.
            hash_bits: n-grams share 2 ** hash_bits buckets.
            num_words: words of the longest n-gram.
        """
        super().__init__()
        self.hash_bits, self.num_words = hash_bits, num_words
        self.register_buffer("weight", torch.zeros(2**hash_bits, num_outputs))
        self.register_buffer("classes", torch.zeros(num_outputs, dtype=torch.int64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    @property
    def shape(self) -> dict[str, int]:
        """See :attr:`LinearClassifier.shape`."""
        return {
            "num_outputs": len(self.classes),
            "hash_bits": self.hash_bits,
            "num_words": self.num_words,
        }

    @property
    def num_ngrams(self) -> int:
        """Weights that are not zero: of the n-grams of train; those that share one count as one."""
        return int((self.weight != 0).any(dim=1).sum())

    def values(self, buckets: Tensor) -> Tensor:
        """What the n-grams of some buckets say, each alone: float64 [..., C] of int64 [...]."""
        said = torch.zeros(*buckets.shape, len(self.bias), dtype=torch.float64)
        said[..., self.classes] = self.weight[buckets].double()
        return said

    def forward(self, token_ids: Tensor, lengths: Tensor, ngrams: Tensor) -> Tensor:  # noqa: ARG002
        """Classifies rows.

        Args:
            token_ids: not read.
            lengths: not read.
            ngrams: int64 [B, G], the distinct buckets of each row, padded with 0.

        Returns:
            Logits, float64 [B, C]; their softmax is the prediction.
        """
        scores = self.bias.expand(len(ngrams), -1).clone()
        scores[:, self.classes] += self.weight[ngrams].double().sum(dim=1)
        return self.link(scores)

    def link(self, scores: Tensor) -> Tensor:
        """The logits [B, C] of sums of weights [B, C].

        Of more than two classes each is told from the others by itself, and its probability is its
        own one over the sum of all.
        """
        return scores if len(self.classes) < 2 else functional.logsigmoid(scores)


def fit_naive_bayes(
    buckets: Ints,
    offsets: Ints,
    labels: Ints,
    *,
    config: BaselineConfig,
    hash_bits: int,
    num_classes: int,
) -> NaiveBayesClassifier:
    """Weighs each n-gram by its log-ratio, and fits a logistic regression of the weights.

    With p the counts of rows that have an n-gram among those of a class, plus 1, and q those of the
    other rows, an n-gram counts r = ln((p / sum(p)) / (q / sum(q))) in a row that has it.

    Args:
        buckets: int64 [M], the distinct buckets of each row's n-grams, one row after the other.
        offsets: int64 [N + 1]; row i is ``buckets[offsets[i]:offsets[i + 1]]``.
        labels: int64 [N], in [0, C).
        config: which n-grams count, and the strength of the regularization.
        hash_bits: there are 2 ** hash_bits buckets; see :func:`bits_for`.
        num_classes: C.
    """
    from scipy.sparse import csr_matrix

    present = np.unique(labels)
    outputs = present if len(present) > 2 else present[1:]
    model = NaiveBayesClassifier(
        num_classes=num_classes,
        num_outputs=len(outputs),
        hash_bits=hash_bits,
        num_words=config.num_words,
    )
    model.bias.fill_(-torch.inf)
    model.bias[present] = 0.0
    model.classes.copy_(torch.from_numpy(outputs))
    num_rows = np.bincount(buckets, minlength=2**hash_bits)
    selected = np.flatnonzero(num_rows >= config.min_rows)
    columns = np.full(2**hash_bits, -1, dtype=np.int32)
    columns[selected] = np.arange(len(selected))
    found = columns[buckets]
    is_selected = found >= 0
    starts = np.concatenate([[0], np.cumsum(is_selected)])[offsets]
    ones = np.ones(starts[-1])
    has = csr_matrix((ones, found[is_selected], starts), shape=(len(labels), len(selected)))
    for output, label in enumerate(outputs):
        of_class = np.asarray(has[labels == label].sum(axis=0)).ravel()
        counts = np.stack([of_class, np.asarray(has.sum(axis=0)).ravel() - of_class])
        ratios = log_count_ratios(counts, SMOOTHING)[0]
        weight, bias = _fit_one(has, ratios, labels == label, config)
        model.weight[selected, output] = torch.from_numpy((weight * ratios).astype(np.float32))
        model.bias[label] = bias
    return model


def bits_for(config: BaselineConfig, *, num_classes: int) -> int:
    """The bits that a model of C classes gets: all, unless it were of more than 256 MiB."""
    most = (MAX_WEIGHTS // _num_outputs(num_classes)).bit_length() - 1
    return min(config.hash_bits, most)


def _num_outputs(num_classes: int) -> int:
    """Regressions: of two classes one is the other's negative."""
    return num_classes if num_classes > 2 else 1


def share_to_fit(num_tokens: int, *, config: BaselineConfig, num_classes: int) -> float:
    """The share of rows whose n-grams can be fitted in bounded time and memory; 1: all.

    It is less if they have more n-grams than :data:`MAX_OCCURRENCES` over the number of
    regressions.

    Args:
        num_tokens: of all rows.
        config, num_classes: see :func:`fit_naive_bayes`.
    """
    num_occurrences = num_tokens * config.num_words * _num_outputs(num_classes)
    return min(1.0, MAX_OCCURRENCES / max(1, num_occurrences))


def rows_to_fit(labels: Ints, *, share: float, seed: int) -> Ints:
    """A share of the rows of each class, at random, and at least one: int64 [M], ascending.

    Args:
        labels: int64 [N].
        share: of the rows, below 1.
        seed: of the choice.
    """
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        chosen.append(random.choice(rows, max(1, int(share * len(rows))), replace=False))
    return np.sort(np.concatenate(chosen))


def _fit_one(
    has: csr_matrix, ratios: Floats, is_of_class: npt.NDArray[np.bool_], config: BaselineConfig
) -> tuple[Floats, float]:
    """The logistic regression of one class against the others: weights [F] and bias."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    weighted = csr_matrix((ratios[has.indices], has.indices, has.indptr), shape=has.shape)
    # Of a row's size, not of the weights': many times as fast as L-BFGS where weights are millions.
    # It regularizes the bias too, which is of little effect at a tenth of its size.
    regression = LogisticRegression(
        C=config.inverse_strength,
        solver="liblinear",
        dual=True,
        intercept_scaling=10,
        tol=1e-3,
        max_iter=1000,
        random_state=0,
    )
    regression.fit(weighted, is_of_class)
    return regression.coef_[0], float(regression.intercept_[0])
