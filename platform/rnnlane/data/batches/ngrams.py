"""Hashed n-grams of a row's tokens: which buckets each row has.

Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009: no dictionary of
n-grams is kept; those that share a bucket share its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit

Ints = npt.NDArray[np.int64]

# Hashed at once: more takes memory, and no less time.
TOKENS_AT_ONCE = 2**18


@dataclass(frozen=True)
class NgramHasher:
    """Finds the buckets of a model's n-grams.

    Attributes:
        bits: there are 2**bits buckets.
        max_words: tokens of the longest n-gram.
        word_keys: uint32 [V], of the vocabulary's tokens; see
            :attr:`rnnlane.data.prepare.vocabulary.Vocabulary.word_keys`.
    """

    bits: int
    max_words: int
    word_keys: npt.NDArray[np.uint32] = field(repr=False)

    def __call__(self, split: EncodedSplit) -> tuple[Ints, Ints]:
        """The distinct buckets of each row's n-grams, in rising order, one row after the other.

        No n-gram spans two rows. Bucket 0 is padding: no n-gram is in it.

        Returns:
            int64 [M], in [1, 2**bits), and int64 [N + 1], where each row begins and the last ends.

        Raises:
            ValueError: the split has no keys of its unknown tokens.
        """
        if len(split.token_ids) <= TOKENS_AT_ONCE:
            return self._distinct(split)
        parts = [self._distinct(split.take(rows)) for rows in _some_rows(split.offsets)]
        counts = np.concatenate([np.diff(offsets) for _, offsets in parts])
        return np.concatenate([buckets for buckets, _ in parts]), np.append(0, np.cumsum(counts))

    def _distinct(self, split: EncodedSplit) -> tuple[Ints, Ints]:
        bits = self.bits
        rows = np.repeat(np.arange(len(split)), split.lengths)
        cells = [rows[first] << bits | buckets for first, buckets in self.occurrences(split)]
        # np.unique takes ten times as long.
        found = np.sort(np.concatenate([rows[:0], *cells]))
        found = found[np.diff(found, prepend=-1) > 0]
        offsets = np.searchsorted(found >> bits, np.arange(len(split) + 1))
        return found & (2**bits - 1), offsets

    def occurrences(self, split: EncodedSplit) -> Iterator[tuple[Ints, Ints]]:
        """Every occurrence of the n-grams of one token, of two, and so on.

        Yields:
            int64 [K] and int64 [K]: the position in the split of an n-gram's first token, and the
            n-gram's bucket.

        Raises:
            ValueError: the split has no keys of its unknown tokens.
        """
        num_buckets = np.uint64(2**self.bits - 1)
        keys = split.word_keys(self.word_keys).astype(np.uint64)
        rows = np.repeat(np.arange(len(split)), split.lengths)
        hashes = np.zeros(len(keys), dtype=np.uint64)
        for last in range(min(self.max_words, len(keys))):
            hashes = _mixed(hashes[: len(keys) - last] + keys[last:])
            first = np.flatnonzero(rows[: len(hashes)] == rows[last:])
            yield first, 1 + (hashes[first] % num_buckets).astype(np.int64)

    def padded(self, split: EncodedSplit) -> Ints:
        """The distinct buckets of each row: int64 [N, G], padded with 0 to the most of any row."""
        buckets, offsets = self(split)
        counts = np.diff(offsets)
        found = np.zeros((len(split), counts.max(initial=1)), dtype=np.int64)
        found[np.arange(found.shape[1]) < counts[:, np.newaxis]] = buckets
        return found


def _some_rows(offsets: Ints) -> Iterator[Ints]:
    """Rows of some :data:`TOKENS_AT_ONCE` tokens, or one row."""
    first, num_rows = 0, len(offsets) - 1
    while first < num_rows:
        most = offsets[first] + TOKENS_AT_ONCE
        last = int(np.searchsorted(offsets, most, side="right")) - 1
        yield np.arange(first, max(first + 1, last))
        first = max(first + 1, last)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A number of which every bit depends on every bit given: uint64 [same shape].

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix).
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
