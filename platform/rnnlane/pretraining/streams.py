"""Texts as contiguous streams of tokens: a pure function of seed and epoch, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.vocabulary import PAD_ID

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


class StreamPiece(NamedTuple):
    """Some positions of all streams.

    Attributes:
        inputs: int32 [B, T]: the token before each target; before the first of all, the separator.
        targets: int32 [B, T]; padding behind the last token of all.
    """

    inputs: Tokens
    targets: Tokens


class Streams:
    """An epoch's texts one after the other, cut into streams of equal length.

    Each text is followed by the separator; stream b goes on where stream b - 1 ends, and the last
    ones are padded. The tokens stay in the corpus until their piece is read: what an epoch needs
    beside it is 16 bytes a text.

    Args:
        corpus: the texts.
        num_streams: B; with fewer tokens the last streams are all padding.
        order: int64 [N], of the texts.
        separator: id of a token that no text has.
        backward: each text from its end to its beginning. The texts stay in their order.
    """

    def __init__(
        self, corpus: Corpus, num_streams: int, *, order: Ints, separator: int, backward: bool
    ):
        self._token_ids, self._num_tokens = corpus.token_ids, corpus.num_tokens
        self._separator, self._backward = separator, backward
        # Where among the tokens of all texts each begins, and where its separator goes.
        self._starts = corpus.offsets[:-1][order]
        self._ends = np.cumsum(corpus.offsets[1:][order] - self._starts + 1) - 1
        self.num_streams = num_streams
        self.length = -(-corpus.num_tokens // num_streams)

    def pieces(self, size: int, *, start: int = 0) -> Iterator[StreamPiece]:
        """Consecutive pieces of all streams; the last may be shorter.

        Args:
            size: positions of a piece, at least 1.
            start: pieces to leave out.
        """
        streams = self.length * np.arange(self.num_streams)[:, None]
        for first in range(start * size, self.length, size):
            # With the one before.
            positions = streams + np.arange(first - 1, min(first + size, self.length))
            tokens = self._tokens(positions)
            targets = tokens[:, 1:]
            yield StreamPiece(np.where(targets == PAD_ID, PAD_ID, tokens[:, :-1]), targets)

    def _tokens(self, positions: Ints) -> Tokens:
        """The tokens at some positions, from -1 on, of the texts one after the other."""
        text = np.searchsorted(self._ends, positions)
        is_inside = text < len(self._ends)
        text = np.minimum(text, len(self._ends) - 1)
        # Below 0: a word of the text; 0: its separator.
        to_end = positions - self._ends[text]
        begin = self._ends[text - 1] + 1
        begin[text == 0] = 0
        within = -1 - to_end if self._backward else positions - begin
        is_word = is_inside & (to_end < 0) & (positions >= 0)
        source = np.where(is_word, self._starts[text] + within, 0)
        tokens = np.where(is_word, self._token_ids[source], np.int32(self._separator))
        return np.where(is_inside, tokens, np.int32(PAD_ID))
