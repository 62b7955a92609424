"""Hashed n-grams against a plain loop over the words of each row."""

from itertools import pairwise

import numpy as np
import pytest

from rnnlane.config.model import NgramConfig
from rnnlane.data.batches import ngrams
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher

WORDS = {0: 0, 1: 0, 2: 20, 3: 30, 4: 40}
KEYS = np.array(list(WORDS.values()), dtype=np.uint32)
# Words 20, 71, 20, 71 / 30 / 72, 40, 71.
SPLIT = EncodedSplit(
    token_ids=np.array([2, 1, 2, 1, 3, 1, 4, 1], dtype=np.int32),
    offsets=np.array([0, 4, 5, 8]),
    labels=np.array([1, 0, 1]),
    unknown_keys=np.array([71, 71, 72, 71], dtype=np.uint32),
)
ROWS = [[20, 71, 20, 71], [30], [72, 40, 71]]
EVERYTHING = 2**64 - 1


def mixed(value: int) -> int:
    """SplitMix64, whose first outputs for seed 0 are published."""
    value = (value + 0x9E3779B97F4A7C15) & EVERYTHING
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & EVERYTHING
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & EVERYTHING
    return value ^ (value >> 31)


def bucket_of(words: list[int], bits: int) -> int:
    state = 0
    for word in words:
        state = mixed((state + word) & EVERYTHING)
    return 1 + state % (2**bits - 1)


def expected(row: list[int], config: NgramConfig) -> list[int]:
    found = {
        bucket_of(row[start : start + length], config.bits)
        for length in range(1, config.max_words + 1)
        for start in range(len(row) - length + 1)
    }
    return sorted(found)


def test_the_mixing_is_that_of_the_paper():
    assert mixed(0) == 0xE220A8397B1DCDAF
    assert bucket_of([5, 6], 20) != bucket_of([6, 5], 20)


@pytest.mark.parametrize("max_words", [1, 2, 3, 10])
@pytest.mark.parametrize("bits", [4, 20, 26])
def test_each_row_has_the_distinct_buckets_of_its_ngrams(bits, max_words):
    config = NgramConfig(bits=bits, max_words=max_words)
    hasher = NgramHasher(bits, max_words, KEYS)
    buckets, offsets = hasher(SPLIT)
    rows = [buckets[start:stop].tolist() for start, stop in pairwise(offsets)]
    assert rows == [expected(row, config) for row in ROWS]
    padded = hasher.padded(SPLIT)
    assert padded.shape == (3, max(map(len, rows)))
    assert [[bucket for bucket in row if bucket] for row in padded.tolist()] == rows
    again, _ = hasher(SPLIT.take(np.array([2, 0])))
    assert again.tolist() == rows[2] + rows[0]


@pytest.mark.parametrize("tokens_at_once", [1, 4, 7])
def test_many_rows_are_hashed_in_parts(monkeypatch, tokens_at_once):
    hasher = NgramHasher(20, 3, KEYS)
    buckets, offsets = hasher(SPLIT)
    monkeypatch.setattr(ngrams, "TOKENS_AT_ONCE", tokens_at_once)
    in_parts = hasher(SPLIT)
    assert in_parts[0].tolist() == buckets.tolist()
    assert in_parts[1].tolist() == offsets.tolist()


def test_occurrences_are_told_by_their_first_token():
    found = list(NgramHasher(20, 2, KEYS).occurrences(SPLIT))
    (ones, _), (twos, buckets) = found
    assert ones.tolist() == list(range(8))
    assert twos.tolist() == [0, 1, 2, 5, 6]
    assert buckets[0] == buckets[2] == bucket_of([20, 71], 20)


def test_no_rows_have_no_ngrams():
    nothing = SPLIT.take(np.zeros(0, dtype=np.int64))
    hasher = NgramHasher(20, 3, KEYS)
    buckets, offsets = hasher(nothing)
    assert (buckets.tolist(), offsets.tolist()) == ([], [0])
    assert hasher.padded(nothing).shape[0] == 0
