"""The encoded rows of one split, laid out so that every worker of a node can read one copy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rnnlane.data.prepare.vocabulary import UNKNOWN_ID

# Of a chunk: counting the n-grams of so many texts of 250 words takes some 100 MB.
CHUNK_ROWS = 4096

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class EncodedSplit:
    """Token sequences one after the other, and a label each. A row id is a row's position.

    Attributes:
        token_ids: int32 [num_tokens]; row i is ``token_ids[offsets[i]:offsets[i + 1]]``.
        offsets: int64 [num_rows + 1], from 0 to num_tokens; every row has at least one token.
        labels: int64 [num_rows], in [0, num_classes).
        unknown_keys: uint32 [num_unknown], which word each unknown token is, in their order: see
            :func:`rnnlane.data.prepare.keys.word_keys`. None where nobody asks for keys.
    """

    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    unknown_keys: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: int64 [num_rows]."""
        return np.diff(self.offsets)

    def class_counts(self, num_classes: int) -> npt.NDArray[np.int64]:
        """Rows of each class: int64 [num_classes]."""
        return np.bincount(self.labels, minlength=num_classes).astype(np.int64)

    num_pieces = 1

    def pieces(
        self, numbers: Collection[int] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], EncodedSplit]]:
        """All rows, which are in memory, as one piece, and their ids: int64 [num_rows].

        Args:
            numbers: of the pieces that are wanted, from 0; None: all.
        """
        if numbers is None or 0 in numbers:
            yield np.arange(len(self)), self

    @property
    def num_chunks(self) -> int:
        """How many :meth:`chunk` there are."""
        return -(-len(self) // CHUNK_ROWS)

    def chunk(self, number: int) -> tuple[npt.NDArray[np.int64], EncodedSplit]:
        """Some of the rows, and their ids."""
        rows = np.arange(number * CHUNK_ROWS, min(len(self), (number + 1) * CHUNK_ROWS))
        return rows, self.take(rows)

    def take(self, rows: npt.NDArray[np.int64]) -> EncodedSplit:
        """Some rows, in the order asked; a row may be asked for several times."""
        tokens, offsets = _taken(self.token_ids, self.offsets, rows)
        keys = None
        if self.unknown_keys is not None:
            keys, _ = _taken(self.unknown_keys, self._unknown_offsets, rows)
        return EncodedSplit(tokens, offsets, self.labels[rows], keys)

    def word_keys(self, of_vocabulary: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Which word each token is, known or not: uint32 [num_tokens].

        Args:
            of_vocabulary: uint32 [V], by token id.

        Raises:
            ValueError: the split has no keys of its unknown tokens.
        """
        is_unknown = self.token_ids == UNKNOWN_ID
        if self.unknown_keys is None or len(self.unknown_keys) != np.count_nonzero(is_unknown):
            raise ValueError("each unknown token of the split must have a key")
        keys = of_vocabulary[self.token_ids]
        keys[is_unknown] = self.unknown_keys
        return keys

    @cached_property
    def _unknown_offsets(self) -> npt.NDArray[np.int64]:
        """Where in ``unknown_keys`` each row begins, and the last ends: int64 [num_rows + 1]."""
        places = np.flatnonzero(self.token_ids == UNKNOWN_ID)
        return np.searchsorted(places, self.offsets)


def appended(*splits: EncodedSplit) -> EncodedSplit:
    """The rows of some splits, one behind the other, with the row ids that follow."""
    keys = [split.unknown_keys for split in splits if split.unknown_keys is not None]
    starts = np.cumsum([0, *(split.num_tokens for split in splits)])
    offsets = [split.offsets[1:] + start for split, start in zip(splits, starts, strict=False)]
    return EncodedSplit(
        token_ids=np.concatenate([split.token_ids for split in splits]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        labels=np.concatenate([split.labels for split in splits]),
        unknown_keys=np.concatenate(keys) if len(keys) == len(splits) else None,
    )


def _taken(
    values: npt.NDArray[T], offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[T], npt.NDArray[np.int64]]:
    """The values of some rows, one row after the other, and where each begins and the last ends."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    bounds = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    positions = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], lengths)
    return values[positions], bounds
