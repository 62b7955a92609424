"""The encoded rows of one split, laid out so that every worker of a node can read one copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class EncodedSplit:
    """Token sequences one after the other, and a label each. A row id is a row's position.

    Attributes:
        token_ids: int32 [num_tokens]; row i is ``token_ids[offsets[i]:offsets[i + 1]]``.
        offsets: int64 [num_rows + 1], from 0 to num_tokens; every row has at least one token.
        labels: int64 [num_rows], in [0, num_classes).
    """

    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: int64 [num_rows]."""
        return np.diff(self.offsets)

    def tokens_of(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """The tokens of some rows, one row after the other, and each row's length.

        Returns:
            int32 [sum of the lengths] and int64 [len(rows)].
        """
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        positions = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        return self.token_ids[positions], lengths


def appended(first: EncodedSplit, second: EncodedSplit) -> EncodedSplit:
    """The rows of one split, and then those of another, with the row ids that follow."""
    return EncodedSplit(
        token_ids=np.concatenate([first.token_ids, second.token_ids]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        labels=np.concatenate([first.labels, second.labels]),
    )
