"""Texts as contiguous streams of tokens: a pure function of seed and epoch, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.vocabulary import PAD_ID

# Positions of so many texts, as 64-bit numbers, are in memory at once.
_TEXTS_AT_ONCE = 4096

Tokens = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


class Corpus(NamedTuple):
    """Texts as token ids.

    Attributes:
        token_ids: int32 [all tokens].
        offsets: int64 [N + 1]: text n is token_ids[offsets[n] : offsets[n + 1]].
    """

    token_ids: Tokens
    offsets: Ints

    @property
    def num_texts(self) -> int:
        """N."""
        return len(self.offsets) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens to predict: those of the texts, and a separator after each."""
        return len(self.token_ids) + self.num_texts

    def first(self, num_tokens: int) -> Corpus:
        """The first texts, as many as have at most so many tokens; at least one."""
        with_separators = self.offsets[1:] + np.arange(1, self.num_texts + 1)
        count = max(1, int(np.searchsorted(with_separators, num_tokens, side="right")))
        return Corpus(self.token_ids[: self.offsets[count]], self.offsets[: count + 1])


def corpus_of(splits: Sequence[EncodedSplit]) -> Corpus:
    """The texts of some splits, one after the other."""
    starts = np.cumsum([0, *(len(split.token_ids) for split in splits)])
    offsets = [split.offsets[1:] + start for split, start in zip(splits, starts, strict=False)]
    token_ids = np.concatenate([split.token_ids for split in splits])
    return Corpus(token_ids, np.concatenate([np.zeros(1, np.int64), *offsets]))


def text_order(num_texts: int, *, seed: int, epoch: int) -> Ints:
    """The order in which an epoch reads the texts: a permutation, int64 [N]."""
    random = np.random.default_rng(np.random.SeedSequence((seed, epoch)))
    return random.permutation(num_texts)


def joined(corpus: Corpus, order: Ints, *, separator: int, backward: bool = False) -> Tokens:
    """The texts in an order, each followed by the separator: int32 [num_tokens].

    Args:
        corpus: the texts.
        order: int64 [N].
        separator: id of a token that no text has.
        backward: each text from its end to its beginning. The texts stay in their order.
    """
    lengths = np.diff(corpus.offsets)[order]
    ends = np.cumsum(lengths + 1) - 1  # where separators go
    tokens = np.full(corpus.num_tokens, separator, dtype=np.int32)
    starts = corpus.offsets[:-1][order]
    for first in range(0, len(order), _TEXTS_AT_ONCE):
        part = slice(first, first + _TEXTS_AT_ONCE)
        sizes = lengths[part]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        source = np.repeat(starts[part], sizes)
        source += np.repeat(sizes - 1, sizes) - within if backward else within
        tokens[np.repeat(ends[part] - sizes, sizes) + within] = corpus.token_ids[source]
    return tokens


class Streams(NamedTuple):
    """Tokens cut into streams; stream b goes on where stream b - 1 ends.

    Attributes:
        inputs: int32 [B, L]: the token before each target; before the first of all, the separator.
        targets: int32 [B, L]: every token of the corpus once; padding behind the last one.
    """

    inputs: Tokens
    targets: Tokens

    @property
    def length(self) -> int:
        """L."""
        return int(self.targets.shape[1])

    def chunks(self, size: int, *, start: int = 0) -> Iterator[Streams]:
        """Consecutive pieces of all streams, of ``size`` positions; the last may be shorter.

        Args:
            size: at least 1.
            start: pieces to leave out.
        """
        for first in range(start * size, self.length, size):
            positions = slice(first, first + size)
            yield Streams(self.inputs[:, positions], self.targets[:, positions])

    def num_chunks(self, size: int) -> int:
        """How many pieces :meth:`chunks` gives from the start."""
        return -(-self.length // size)


def cut(tokens: Tokens, num_streams: int, *, separator: int) -> Streams:
    """Cuts tokens into streams of equal length, padded at the very end.

    Args:
        tokens: int32 [n], n >= 1.
        num_streams: B; with fewer tokens the last streams are all padding.
        separator: what stands before the first token.
    """
    length = -(-len(tokens) // num_streams)
    targets = np.full(num_streams * length, PAD_ID, dtype=np.int32)
    targets[: len(tokens)] = tokens
    inputs = np.full(num_streams * length, PAD_ID, dtype=np.int32)
    inputs[: len(tokens)] = np.concatenate([[np.int32(separator)], tokens[:-1]])
    shape = (num_streams, length)
    return Streams(inputs.reshape(shape), targets.reshape(shape))


def streams_of(
    corpus: Corpus, num_streams: int, *, order: Ints, separator: int, backward: bool
) -> Streams:
    """The streams of an epoch in one direction."""
    tokens = joined(corpus, order, separator=separator, backward=backward)
    return cut(tokens, num_streams, separator=separator)
