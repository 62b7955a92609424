"""A split that is read from the prepared data whenever it is asked for, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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

    @property
    def num_pieces(self) -> int:
        """How many :meth:`pieces` there are."""
        return len(self.prepared.parts_of_pieces(self.name, self.piece_bytes))

    def pieces(
        self, numbers: Collection[int] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], EncodedSplit]]:
        """The rows, some at a time, and their ids; see :meth:`PreparedData.pieces`."""
        return self.prepared.pieces(
            self.name, piece_bytes=self.piece_bytes, numbers=numbers, cache=self.cache
        )


ScoredSplit = EncodedSplit | FileSplit
"""What is read to be scored, row by row."""
