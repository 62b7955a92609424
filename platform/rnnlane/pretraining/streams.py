"""Texts as contiguous streams of tokens: a pure function of seed and epoch, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.prepare.vocabulary import PAD_ID
from rnnlane.pretraining.corpus import Corpus

Tokens = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


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
        self._token_ids = corpus.token_ids
        self._separator, self._backward = separator, backward
        # Where among the tokens of all texts each begins, and where its separator goes.
        self._starts = corpus.starts[order]
        self._ends = np.cumsum(corpus.lengths[order] + 1) - 1
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
