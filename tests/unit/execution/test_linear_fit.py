"""The rows that the linear baseline is fitted on, read piece by piece."""

from types import SimpleNamespace

import numpy as np
import pytest

from rnnlane.data.batches.encoded import appended
from rnnlane.data.batches.file_split import FileSplit
from rnnlane.execution.linear_fit import fit_on, fitted_rows
from rnnlane.models import naive_bayes
from support.events import Remembered
from support.shards import prepared_of
from support.tiny import assert_same_rows, tiny_experiment, tiny_split
from support.tracked import tiny_prepared

TRAIN, VAL = tiny_split(101, 1, 3), tiny_split(37, 2, 3)
CONFIG = tiny_experiment()
# Of three words and three regressions.
HALF = 9 * (TRAIN.num_tokens + VAL.num_tokens) / 2


@pytest.fixture
def in_files(tmp_path):
    """Train and val in several files each, of which each is a piece."""
    return [
        FileSplit(prepared_of(tmp_path / name, split, 3, num_files=5, name=name), name, 1)
        for name, split in (("train", TRAIN), ("val", VAL))
    ]


def rows_of(splits, events=None):
    return fitted_rows(splits, CONFIG, num_classes=3, events=events or Remembered())


def test_all_rows_are_read_in_the_order_of_their_ids(in_files):
    events = Remembered()
    assert_same_rows(rows_of(in_files[:1], events), TRAIN)
    assert_same_rows(rows_of(in_files, events), appended(TRAIN, VAL))
    assert events.notes == []


def test_of_too_many_rows_the_same_ones_are_read_however_they_are_kept(in_files, monkeypatch):
    monkeypatch.setattr(naive_bayes, "MAX_OCCURRENCES", HALF)
    events, both = Remembered(), appended(TRAIN, VAL)
    found = rows_of(in_files, events)
    assert_same_rows(found, rows_of([TRAIN, VAL]))
    counts = np.bincount(both.labels)
    assert np.bincount(found.labels).tolist() == (counts // 2).tolist()
    [note] = events.notes
    assert note.startswith(f"the baseline is fitted on {len(found)} of 138 rows")


@pytest.mark.parametrize("weighting", ["nb", "tfidf"])
def test_no_weighting_is_fitted_on_more_than_the_bound(weighting, monkeypatch):
    monkeypatch.setattr(naive_bayes, "MAX_OCCURRENCES", HALF / 3)
    config = tiny_experiment(f"baseline.weighting={weighting}", "baseline.num_words=2")
    rows = fitted_rows([TRAIN, VAL], config, num_classes=3, events=Remembered())
    assert 20 < len(rows) < 40
    prepared = SimpleNamespace(**{**vars(tiny_prepared()), "class_names": ("a", "b", "c")})
    assert fit_on(rows, config, prepared).num_ngrams > 0
