"""A split that is read from the prepared data whenever it is asked for, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.file_cache import NO_COPIES, FileCache
from rnnlane.data.prepare.prepared import PreparedData

# Of compressed files; their rows are some three times as large, and up to three pieces are held.
PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class FileSplit:
    """The rows of a split; of small size, whatever their number.

    Attributes:
        prepared: has the rows.
        name: of the split.
        piece_bytes, cache: see :meth:`PreparedData.pieces`.
    """

    prepared: PreparedData
    name: str
    piece_bytes: int = PIECE_BYTES
    cache: FileCache = NO_COPIES

    def __len__(self) -> int:
        return self.prepared.manifest.splits[self.name].num_rows

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows."""
        return self.prepared.manifest.splits[self.name].num_tokens

    def pieces(self) -> Iterator[tuple[npt.NDArray[np.int64], EncodedSplit]]:
        """The rows, some at a time, and their ids; see :meth:`PreparedData.pieces`."""
        return self.prepared.pieces(self.name, piece_bytes=self.piece_bytes, cache=self.cache)


ScoredSplit = EncodedSplit | FileSplit
"""What is read to be scored, row by row."""
