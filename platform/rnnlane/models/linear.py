"""The linear baselines, and the simpler one: TF-IDF of words and pairs -> logistic regression."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rnnlane.config.baseline import BaselineConfig

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

Ints = npt.NDArray[np.int64]


class LinearClassifier(nn.Module):
    """A classifier by sums of weights of n-grams, called like a recurrent one.

    Attributes:
        bias: float64 [C].
    """

    bias: Tensor

    @property
    @abstractmethod
    def shape(self) -> dict[str, int]:
        """What the model is built with, but for the vocabulary's size and the classes."""

    @property
    @abstractmethod
    def num_ngrams(self) -> int:
        """Weights of each class, or n-grams that have one."""

    def link(self, scores: Tensor) -> Tensor:
        """The logits [B, C] of what the n-grams of rows add up to, with the bias: [B, C]."""
        return scores


class TfidfClassifier(LinearClassifier):
    """TF-IDF of the words of a vocabulary and of their pairs.

    Word a has n-gram id a, and the pair of words a and b has n-gram id V + V * a + b.

    Attributes:
        ngrams: int64 [F], sorted; the n-grams used as features.
        idf: float64 [F], inverse document frequency on the train split.
        weight: float64 [C, F].
        bias: float64 [C].
    """

    ngrams: Tensor
    idf: Tensor
    weight: Tensor

    def __init__(
        self, *, num_ngrams: int, num_classes: int, vocabulary_size: int, num_words: int
    ) -> None:
        """Allocates the buffers, for :func:`fit_tfidf` or a state dict to fill.

        Args:
            num_ngrams: F.
            num_classes: C.
            vocabulary_size: V, padding and unknown token included.
            num_words: words of the longest n-gram, 1 or 2.
        """
        super().__init__()
        self._vocabulary_size = vocabulary_size
        self._num_words = num_words
        self.register_buffer("ngrams", torch.zeros(num_ngrams, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(num_ngrams, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(num_classes, num_ngrams, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))

    @property
    def shape(self) -> dict[str, int]:
        """See :attr:`LinearClassifier.shape`."""
        return {"num_ngrams": self.num_ngrams, "num_words": self._num_words}

    @property
    def num_ngrams(self) -> int:
        """N-grams that are features."""
        return len(self.ngrams)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Classifies rows.

        Args:
            token_ids: int64 [B, T], in [0, V), padded on the right.
            lengths: int64 [B], each in [1, T].

        Returns:
            Logits, float64 [B, C]; their softmax is the regression's prediction.
        """
        is_token = np.arange(token_ids.shape[1]) < lengths.numpy()[:, None]
        tokens = token_ids.numpy()[is_token]
        offsets = np.concatenate([[0], np.cumsum(lengths.numpy())])
        rows, ngrams = ngrams_of(
            tokens, offsets, vocabulary_size=self._vocabulary_size, num_words=self._num_words
        )
        counts = _counts(rows, ngrams, selected=self.ngrams.numpy(), num_rows=len(lengths))
        features = _tfidf(self.idf.numpy()).transform(counts)
        return torch.from_numpy(features @ self.weight.numpy().T + self.bias.numpy())

    def contributions(self, tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """What each token of one row adds to the logits: float64 [T, C]; with the bias, their sum.

        What an n-gram adds belongs to its occurrences, and to the words of each, in equal parts.

        Args:
            tokens: of the row, [T], T at least 1.
        """
        num_tokens, selected = len(tokens), self.ngrams.numpy()
        offsets = np.array([0, num_tokens])
        rows, ngrams = ngrams_of(
            tokens, offsets, vocabulary_size=self._vocabulary_size, num_words=self._num_words
        )
        counts = _counts(rows, ngrams, selected=selected, num_rows=1)
        values = _tfidf(self.idf.numpy()).transform(counts).toarray()[0]
        columns = np.minimum(np.searchsorted(selected, ngrams), len(selected) - 1)
        is_feature = selected[columns] == ngrams
        each = values[columns] / np.maximum(counts.toarray()[0][columns], 1) * is_feature
        parts: npt.NDArray[np.float64] = each[:, None] * self.weight.numpy()[:, columns].T  # [M, C]
        words, pairs = parts[:num_tokens], parts[num_tokens:] / 2
        if len(pairs):
            words[:-1] += pairs
            words[1:] += pairs
        return words


def fit_tfidf(
    tokens: npt.NDArray[np.int32],
    offsets: Ints,
    labels: Ints,
    *,
    config: BaselineConfig,
    vocabulary_size: int,
    num_classes: int,
) -> TfidfClassifier:
    """Fits TF-IDF weights (sublinear counts, L2-normed rows) and a logistic regression.

    Wang and Manning, "Baselines and bigrams", ACL 2012, show how strong such models are on
    sentiment.

    Args:
        tokens: int32 [num_tokens] of all rows, one row after the other.
        offsets: int64 [N + 1]; row i is ``tokens[offsets[i]:offsets[i + 1]]``.
        labels: int64 [N], in [0, C).
        config: which n-grams are features, and the strength of the regularization.
        vocabulary_size: V.
        num_classes: C.
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    rows, ngrams = ngrams_of(
        tokens, offsets, vocabulary_size=vocabulary_size, num_words=config.num_words
    )
    selected = _frequent(rows, ngrams, min_rows=config.min_rows)
    counts = _counts(rows, ngrams, selected=selected, num_rows=len(labels))
    tfidf = TfidfTransformer(sublinear_tf=True).fit(counts)
    regression = LogisticRegression(C=config.inverse_strength, max_iter=1000)
    regression.fit(tfidf.transform(counts), labels)
    model = TfidfClassifier(
        num_ngrams=len(selected),
        num_classes=num_classes,
        vocabulary_size=vocabulary_size,
        num_words=config.num_words,
    )
    model.ngrams.copy_(torch.from_numpy(selected))
    model.idf.copy_(torch.from_numpy(tfidf.idf_))
    _copy_regression(regression, model)
    return model


def ngrams_of(
    tokens: npt.NDArray[Any], offsets: Ints, *, vocabulary_size: int, num_words: int
) -> tuple[Ints, Ints]:
    """Every occurrence of a word or of a pair of adjacent words.

    Returns:
        The row and the n-gram id of each: int64 [M] and int64 [M]. No pair spans two rows.
    """
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    words = tokens.astype(np.int64)
    if num_words == 1:
        return rows, words
    in_one_row = rows[1:] == rows[:-1]
    pairs = vocabulary_size + words[:-1] * vocabulary_size + words[1:]
    return np.concatenate([rows, rows[1:][in_one_row]]), np.concatenate([words, pairs[in_one_row]])


def _frequent(rows: Ints, ngrams: Ints, *, min_rows: int) -> Ints:
    """The n-grams that occur in at least ``min_rows`` rows, sorted: int64 [F]."""
    order = np.lexsort((rows, ngrams))
    sorted_rows, sorted_ngrams = rows[order], ngrams[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (np.diff(sorted_ngrams) != 0) | (np.diff(sorted_rows) != 0)
    distinct, num_rows = np.unique(sorted_ngrams[is_new], return_counts=True)
    return distinct[num_rows >= min_rows]


def _counts(rows: Ints, ngrams: Ints, *, selected: Ints, num_rows: int) -> csr_matrix:
    """How often each of the selected n-grams occurs in each row: float64 [num_rows, F]."""
    from scipy.sparse import csr_matrix

    columns = np.searchsorted(selected, ngrams)
    is_selected = columns < len(selected)
    is_selected[is_selected] = selected[columns[is_selected]] == ngrams[is_selected]
    cells = rows[is_selected], columns[is_selected]
    # csr_matrix adds up entries of the same cell.
    return csr_matrix((np.ones(len(cells[0])), cells), shape=(num_rows, len(selected)))


def _tfidf(idf: npt.NDArray[np.float64]) -> TfidfTransformer:
    from sklearn.feature_extraction.text import TfidfTransformer

    tfidf = TfidfTransformer(sublinear_tf=True)
    tfidf.idf_ = idf
    return tfidf


def _copy_regression(regression: Any, model: TfidfClassifier) -> None:
    """Copies the weights; scikit-learn has one row for two classes, none for an absent class."""
    weight, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        weight = np.concatenate([np.zeros_like(weight), weight])
        bias = np.concatenate([np.zeros_like(bias), bias])
    model.bias.fill_(-torch.inf)
    model.bias[regression.classes_] = torch.from_numpy(bias)
    model.weight[regression.classes_] = torch.from_numpy(weight)
