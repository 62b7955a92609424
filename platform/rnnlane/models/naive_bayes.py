"""The strong baseline: naive Bayes log-ratios of hashed n-grams -> logistic regression.

Wang and Manning, "Baselines and bigrams: simple, good sentiment and topic classification", ACL
2012, with logistic regression and n-grams of up to three words, as Mesnil et al., "Ensemble of
generative and discriminative techniques for sentiment analysis of movie reviews", 2014, have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.baseline import BaselineConfig
from rnnlane.models.linear import LinearClassifier

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint32]

# The weights of all classes together: 256 MiB.
MAX_WEIGHTS = 2**26
# Occurrences of n-grams that are fitted: this many take some 3 GB and minutes.
MAX_OCCURRENCES = 2**26
_TOKENS_AT_ONCE = 2**18
_ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class NaiveBayesClassifier(LinearClassifier):
    """A linear classifier of the n-grams that a row has, each counted once.

    Attributes:
        weight: float32 [2 ** hash_bits, K], of each bucket of n-grams, for each class in
            ``classes``.
        classes: int64 [K]: of two classes the second; of more all, each against the others.
        bias: float64 [C]; -inf for a class without train rows.
    """

    reads_words = True
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
        self._hash_bits, self._num_words = hash_bits, num_words
        self.register_buffer("weight", torch.zeros(2**hash_bits, num_outputs))
        self.register_buffer("classes", torch.zeros(num_outputs, dtype=torch.int64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    @property
    def shape(self) -> dict[str, int]:
        """See :attr:`LinearClassifier.shape`."""
        return {
            "num_outputs": len(self.classes),
            "hash_bits": self._hash_bits,
            "num_words": self._num_words,
        }

    @property
    def num_ngrams(self) -> int:
        """Weights that are not zero: of the n-grams of train; those that share one count as one."""
        return int((self.weight != 0).any(dim=1).sum())

    def forward(self, keys: Tensor, lengths: Tensor) -> Tensor:
        """Classifies rows.

        Args:
            keys: int64 [B, T], the key of each token modulo 2 ** 32, padded on the right.
            lengths: int64 [B], each in [1, T].

        Returns:
            Logits, float64 [B, C]; their softmax is the prediction.
        """
        is_token = np.arange(keys.shape[1]) < lengths.numpy()[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths.numpy())])
        buckets, starts = row_buckets(
            keys.numpy()[is_token], offsets, hash_bits=self._hash_bits, num_words=self._num_words
        )
        # No row is without a token, so none is without an n-gram.
        values = self.weight.numpy()[buckets].astype(np.float64)
        sums = np.add.reduceat(values, starts[:-1], axis=0)  # [B, K]
        scores = self.bias.expand(len(lengths), -1).clone()
        scores[:, self.classes] += torch.from_numpy(sums)
        return self.link(scores)

    def link(self, scores: Tensor) -> Tensor:
        """The logits [B, C] of sums of weights [B, C].

        Of more than two classes each is told from the others by itself, and its probability is its
        own one over the sum of all.
        """
        return scores if len(self.classes) < 2 else functional.logsigmoid(scores)

    def contributions(self, tokens: npt.NDArray[np.integer]) -> Floats:
        """See :meth:`LinearClassifier.contributions`."""
        added = np.zeros((len(tokens), len(self.bias)))
        offsets = np.array([0, len(tokens)])
        hashed = list(_hashed(tokens, offsets, num_words=self._num_words))
        places = [_top_bits(hashes, self._hash_bits) for _, hashes in hashed]
        every, inverse, counts = np.unique(
            np.concatenate(places), return_inverse=True, return_counts=True
        )
        each = self.weight.numpy()[every].astype(np.float64) / counts[:, None]  # [M, K]
        of_class = np.zeros((len(every), len(self.bias)))
        of_class[:, self.classes.numpy()] = each
        start = 0
        for num_words, of_length in enumerate(places, start=1):
            parts = of_class[inverse[start : start + len(of_length)]] / num_words
            start += len(of_length)
            for word in range(num_words if len(parts) else 0):
                added[word : word + len(parts)] += parts
        return added


def fit_naive_bayes(
    keys: Keys, offsets: Ints, labels: Ints, *, config: BaselineConfig, num_classes: int
) -> NaiveBayesClassifier:
    """Weighs each n-gram by its log-ratio, and fits a logistic regression of the weights.

    With p the counts of rows that have an n-gram among those of a class, plus 1, and q those of the
    other rows, an n-gram counts r = ln((p / sum(p)) / (q / sum(q))) in a row that has it.

    Args:
        keys: uint32 [num_tokens] of all rows, one row after the other.
        offsets: int64 [N + 1]; row i is ``keys[offsets[i]:offsets[i + 1]]``.
        labels: int64 [N], in [0, C).
        config: which n-grams count, and the strength of the regularization.
        num_classes: C.
    """
    from scipy.sparse import csr_matrix

    present = np.unique(labels)
    outputs = present if len(present) > 2 else present[1:]
    hash_bits = bits_for(config.hash_bits, num_outputs=len(outputs))
    model = NaiveBayesClassifier(
        num_classes=num_classes,
        num_outputs=len(outputs),
        hash_bits=hash_bits,
        num_words=config.num_words,
    )
    model.bias.fill_(-torch.inf)
    model.bias[present] = 0.0
    model.classes.copy_(torch.from_numpy(outputs))
    buckets, starts = row_buckets(keys, offsets, hash_bits=hash_bits, num_words=config.num_words)
    num_rows = np.bincount(buckets, minlength=2**hash_bits)
    selected = np.flatnonzero(num_rows >= config.min_rows)
    columns = np.full(2**hash_bits, -1, dtype=np.int32)
    columns[selected] = np.arange(len(selected))
    buckets = columns[buckets]
    is_selected = buckets >= 0
    starts = np.concatenate([[0], np.cumsum(is_selected)])[starts]
    ones = np.ones(starts[-1])
    has = csr_matrix((ones, buckets[is_selected], starts), shape=(len(labels), len(selected)))
    for output, label in enumerate(outputs):
        ratios = log_ratios(has, labels == label)
        weight, bias = _fit_one(has, ratios, labels == label, config)
        model.weight[selected, output] = torch.from_numpy((weight * ratios).astype(np.float32))
        model.bias[label] = bias
    return model


def bits_for(hash_bits: int, *, num_outputs: int) -> int:
    """The bits that a model of so many outputs gets: all, unless it were of more than 256 MiB."""
    most = (MAX_WEIGHTS // max(1, num_outputs)).bit_length() - 1
    return min(hash_bits, most)


def rows_to_fit(
    offsets: Ints, labels: Ints, *, config: BaselineConfig, num_classes: int, seed: int
) -> Ints:
    """The rows whose n-grams can be fitted in bounded time and memory, ascending: int64 [M].

    All, unless they have more n-grams than :data:`MAX_OCCURRENCES` over the number of regressions:
    then as large a share of each class, at random, and at least one row.

    Args:
        offsets, labels, config, num_classes: see :func:`fit_naive_bayes`.
        seed: of the choice.
    """
    num_outputs = num_classes if num_classes > 2 else 1
    share = MAX_OCCURRENCES / max(1, int(offsets[-1]) * config.num_words * num_outputs)
    if share >= 1:
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        chosen.append(random.choice(rows, max(1, int(share * len(rows))), replace=False))
    return np.sort(np.concatenate(chosen))


def row_buckets(
    keys: npt.NDArray[np.integer], offsets: Ints, *, hash_bits: int, num_words: int
) -> tuple[npt.NDArray[np.int32], Ints]:
    """The different buckets that the n-grams of each row are in.

    Args:
        keys: [num_tokens], modulo 2 ** 32; row i is ``keys[offsets[i]:offsets[i + 1]]``.
        offsets: int64 [N + 1].
        hash_bits, num_words: of the model.

    Returns:
        int32 [M], of one row after the other, rising within each; and int64 [N + 1], where each row
        starts.
    """
    buckets, counts = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for first, last in _chunks(offsets):
        some = keys[offsets[first] : offsets[last]]
        hashed = list(
            _hashed(some, offsets[first : last + 1] - offsets[first], num_words=num_words)
        )
        # The row above the bucket: one sort finds what a row has twice. (np.unique, which hashes,
        # takes ten times as long.)
        codes = [(rows << hash_bits) | _top_bits(hashes, hash_bits) for rows, hashes in hashed]
        ordered = np.sort(np.concatenate(codes))
        distinct = ordered[np.diff(ordered, prepend=-1) > 0]
        buckets.append((distinct & (2**hash_bits - 1)).astype(np.int32))
        counts.append(np.bincount(distinct >> hash_bits, minlength=last - first))
    return np.concatenate(buckets), np.cumsum(np.concatenate(counts))


def _chunks(offsets: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of rows of some 2**18 tokens, or one row."""
    first, num_rows = 0, len(offsets) - 1
    while first < num_rows:
        last = int(np.searchsorted(offsets, offsets[first] + _TOKENS_AT_ONCE, side="right")) - 1
        last = min(num_rows, max(first + 1, last))
        yield first, last
        first = last


def _hashed(
    keys: npt.NDArray[np.integer], offsets: Ints, *, num_words: int
) -> Iterator[tuple[Ints, npt.NDArray[np.uint64]]]:
    """Every occurrence of an n-gram of 1, 2, ... words: its row int64, and its hash of 64 bits.

    The n-th pair of arrays is of n-grams of n words, in the order of their first words. None spans
    two rows.
    """
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    words = keys.astype(np.uint32).astype(np.uint64)
    hashes, is_inside = _mixed(words + np.uint64(1)), np.ones(len(words), dtype=np.bool_)
    yield rows, hashes
    for num_more in range(1, num_words):
        is_inside = rows[num_more:] == rows[: len(rows) - num_more]
        hashes = _mixed(hashes[:-1] * _ODD[1] + words[num_more:])
        yield rows[num_more:][is_inside], hashes[is_inside]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A permutation of the numbers of 64 bits, each bit of whose results depends on all bits."""
    mixed = values * _ODD[0]
    mixed ^= mixed >> np.uint64(32)
    mixed *= _ODD[1]
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _top_bits(hashes: npt.NDArray[np.uint64], num_bits: int) -> Ints:
    top: Ints = (hashes >> np.uint64(64 - num_bits)).astype(np.int64)
    return top


def log_ratios(has: csr_matrix, is_of_class: npt.NDArray[np.bool_]) -> Floats:
    """How much more a feature is of a class than of the others: float64 [F].

    Args:
        has: [N, F], 1 where a row has a feature.
        is_of_class: bool [N].
    """
    of_class = 1 + np.asarray(has[is_of_class].sum(axis=0)).ravel()
    of_others = 1 + np.asarray(has[~is_of_class].sum(axis=0)).ravel()
    ratios: Floats = np.log(of_class / of_class.sum()) - np.log(of_others / of_others.sum())
    return ratios


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
