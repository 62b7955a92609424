"""Fitting the linear baseline of an experiment, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit, appended
from rnnlane.data.batches.file_split import ScoredSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.models.linear import LinearClassifier, fit_tfidf
from rnnlane.models.naive_bayes import bits_for, fit_naive_bayes, rows_to_fit, share_to_fit
from rnnlane.records.events import RunEvents

Ints = npt.NDArray[np.int64]


def fitted_rows(
    splits: Sequence[ScoredSplit],
    config: ExperimentConfig,
    *,
    num_classes: int,
    events: RunEvents,
) -> EncodedSplit:
    """The rows that the baseline is fitted on, in the order of their ids.

    Args:
        splits: of the prepared data, to be taken one behind the other.
        config: the experiment.
        num_classes: C.
        events: told of rows that are left out to bound time and memory.

    Raises:
        DataError: the prepared data cannot be read or is damaged.
    """
    baseline = config.baseline
    num_rows = sum(len(split) for split in splits)
    share = share_to_fit(
        sum(split.num_tokens for split in splits), config=baseline, num_classes=num_classes
    )
    is_wanted = np.ones(num_rows, dtype=np.bool_)
    if share < 1:
        labels = np.zeros(num_rows, dtype=np.int64)
        for ids, rows in _pieces(splits):
            labels[ids] = rows.labels
        is_wanted[:] = False
        is_wanted[rows_to_fit(labels, share=share, seed=config.seed)] = True
        events.note(
            f"the baseline is fitted on {is_wanted.sum():,} of {num_rows:,} rows, as many of each "
            "class at random as bound its time and memory, and its train figures are of these; a "
            "smaller baseline.num_words takes more rows"
        )
    found = [
        (ids[is_wanted[ids]], rows.take(np.flatnonzero(is_wanted[ids])))
        for ids, rows in _pieces(splits)
    ]
    order = np.argsort(np.concatenate([ids for ids, _ in found]))
    return appended(*(rows for _, rows in found)).take(order)


def _pieces(splits: Sequence[ScoredSplit]) -> Iterator[tuple[Ints, EncodedSplit]]:
    """All rows, and their positions in the splits together."""
    first = 0
    for split in splits:
        for ids, rows in split.pieces():
            yield first + ids, rows
        first += len(split)


def fit_on(
    rows: EncodedSplit, config: ExperimentConfig, prepared: PreparedData
) -> LinearClassifier:
    """The linear baseline of an experiment, fitted on some rows.

    Args:
        rows: of the prepared data, as many as :func:`fitted_rows` returns.
        config: the experiment.
        prepared: the data.
    """
    baseline, num_classes = config.baseline, len(prepared.class_names)
    if baseline.weighting == "tfidf":
        return fit_tfidf(
            rows.token_ids,
            rows.offsets,
            rows.labels,
            config=baseline,
            vocabulary_size=prepared.manifest.vocabulary_size,
            num_classes=num_classes,
        )
    bits = bits_for(baseline, num_classes=num_classes)
    hasher = NgramHasher(bits, baseline.num_words, prepared.vocabulary().word_keys)
    return fit_naive_bayes(
        *hasher(rows), rows.labels, config=baseline, hash_bits=bits, num_classes=num_classes
    )
