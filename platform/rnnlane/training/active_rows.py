"""The rows of the embedding table that a step uses, and only those.

A global batch holds a few thousand of, say, 30,000 words. Its step looks up, differentiates and
exchanges those active rows as a small dense matrix; the optimizer then sees a dense gradient of the
whole table that is zero in all other rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional


def gather(table: Tensor, ids: Tensor) -> Tensor:
    """A copy of the active rows, float [U, E], that collects their gradient.

    Args:
        table: float [V, E], the embedding's weights.
        ids: int64 [U], in [0, V); padding (0) first.
    """
    return table.detach().index_select(0, ids).requires_grad_()


def embed(rows: Tensor, positions: Tensor) -> Tensor:
    """The embedded tokens, float [B, W, E]; padding has no gradient.

    Args:
        rows: float [U, E], as :func:`gather` returned them.
        positions: int64 [B, W]; for each token its position among the active ids.
    """
    return functional.embedding(positions, rows, padding_idx=0)


@contextmanager
def scattered(gradient: Tensor, table: Tensor, ids: Tensor) -> Iterator[None]:
    """Holds the active rows' gradient [U, E] in ``table.grad``, which is zero before and after.

    Only active rows are written, so the cost does not grow with the vocabulary. Padding (0) may be
    among the ids any number of times: its gradient is zero each time.
    """
    assert table.grad is not None
    table.grad.index_copy_(0, ids, gradient)
    yield
    table.grad.index_fill_(0, ids, 0.0)


class ActiveRowIndex:
    """Finds the active rows of each step; its buffers, one entry per word, are used again."""

    def __init__(self, vocabulary_size: int):
        self._is_active = np.zeros(vocabulary_size, dtype=np.bool_)
        # Position of a token id among the active ids; stale for ids that are not active.
        self._position = np.zeros(vocabulary_size, dtype=np.int64)

    def find(self, tokens: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The sorted distinct ids of a step, padding (0) first: int64 [U].

        Args:
            tokens: integers [any]; all tokens of the global batch, with or without padding.

        Raises:
            IndexError: a token is not of the vocabulary.
        """
        self._is_active[tokens] = True
        self._is_active[0] = True
        ids = np.flatnonzero(self._is_active)
        self._is_active[ids] = False
        self._position[ids] = np.arange(len(ids))
        return ids

    def positions(self, tokens: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """Positions of tokens among the ids that were found last: int64 [same shape].

        For ids [0, 3, 7], the tokens [[7, 0]] are at [[2, 0]].
        """
        positions: npt.NDArray[np.int64] = self._position[tokens]
        return positions
