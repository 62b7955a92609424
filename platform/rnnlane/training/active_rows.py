"""The rows of the embedding table that a step uses, and only those.

A global batch holds a few thousand of, say, 30,000 words. Its step looks up, differentiates and
exchanges those active rows as a small dense matrix; the optimizer then sees a dense gradient of the
whole table that is zero in all other rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.data.batches.tensors import send


@dataclass(frozen=True)
class ActiveRows:
    """The active rows of one step, as seen by one worker.

    Attributes:
        ids: int64 [U]; the sorted distinct token ids of the *global* batch, padding (0) first. All
            workers have the same, so that their gradients can be summed elementwise.
        positions: int64 [B, T]; for each token of this worker's rows, its position in ``ids``.
    """

    ids: Tensor
    positions: Tensor

    def gather(self, table: Tensor) -> Tensor:
        """A copy of the active rows, float [U, E], that collects their gradient.

        Args:
            table: float [V, E], the embedding's weights.
        """
        return table.detach()[self.ids].requires_grad_()

    def embed(self, rows: Tensor) -> Tensor:
        """The embedded tokens, float [B, T, E], of ``rows`` as :meth:`gather` returned them."""
        return functional.embedding(self.positions, rows)

    @contextmanager
    def scattered(self, gradient: Tensor, table: Tensor) -> Iterator[None]:
        """Holds the active rows' gradient [U, E] in ``table.grad``, which is zero before and after.

        Only active rows are written, so the cost does not grow with the vocabulary.
        """
        assert table.grad is not None
        table.grad.index_copy_(0, self.ids, gradient)
        yield
        table.grad.index_fill_(0, self.ids, 0.0)


class ActiveRowIndex:
    """Finds the active rows of each step; its buffers, one entry per word, are used again."""

    def __init__(self, vocabulary_size: int, device: torch.device):
        self._device = device
        self._is_active = np.zeros(vocabulary_size, dtype=np.bool_)
        # Position of a token id among the active ids; stale for ids that are not active.
        self._position = torch.zeros(vocabulary_size, dtype=torch.int64, device=device)

    def __call__(self, global_tokens: npt.NDArray[np.int32], token_ids: Tensor) -> ActiveRows:
        """The active rows of a step.

        For global tokens 7 3 7 and the worker's token_ids [[7, 0]], ids are [0, 3, 7] and
        positions [[2, 0]].

        Args:
            global_tokens: int32 [any]; all tokens of the global batch.
            token_ids: int64 [B, T]; this worker's rows, padded with 0, on the device.
        """
        self._is_active[global_tokens] = True
        self._is_active[0] = True
        active = np.flatnonzero(self._is_active)
        self._is_active[active] = False
        ids = send(torch.from_numpy(active), self._device)
        self._position[ids] = torch.arange(len(ids), device=self._device)
        return ActiveRows(ids, self._position[token_ids])
