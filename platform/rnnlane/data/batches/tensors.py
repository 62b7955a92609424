"""Rows of a split -> the padded tensors that a model reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher

# Widths are multiples of this: with few shapes torch reuses memory.
WIDTH_STEP_ON_GPUS = 32
# The rest is for the model, its optimizer and the activations of a step.
RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class Batch:
    """B rows, T tokens; T is at least the longest row.

    Attributes:
        token_ids: int64 [B, T], padded on the right with 0; on the device.
        lengths: int64 [B], tokens of each row, at least 1; on the device.
        labels: int64 [B], on the device.
        weights: float32 [B], 1 for a real row and 0 for a padding row; on the device.
        ngrams: int64 [B, G], the distinct buckets of each row's n-grams, padded with 0; on the
            device; None where the model reads none.
    """

    token_ids: Tensor
    lengths: Tensor
    labels: Tensor
    weights: Tensor
    ngrams: Tensor | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a model reads."""
        known = (self.token_ids, self.lengths)
        return known if self.ngrams is None else (*known, self.ngrams)


class BatchMaker:
    """Makes the batches of one split, on the device that computes and without waiting for it.

    The split's tokens are kept on that device where they fit; the rows of a batch are then picked
    there, and only their numbers travel.

    Args:
        split: holds the rows.
        device: of the tensors.
        hasher: finds the n-grams for a model that reads them.
    """

    def __init__(
        self, split: EncodedSplit, device: torch.device, *, hasher: NgramHasher | None = None
    ):
        self._hasher = hasher
        self._split = split
        self._device = device
        self._tokens = _as_tensor(split.token_ids)  # int32 [num_tokens]
        if fits(split.token_ids.nbytes, device):
            self._tokens = self._tokens.to(device)

    def __call__(self, rows: npt.NDArray[np.int64], *, num_rows: int | None = None) -> Batch:
        """Gathers and pads some rows.

        Args:
            rows: int64 [n], row ids; may be empty where ``num_rows`` is given.
            num_rows: rows of the batch, at least n and 1. Those beyond n are padding rows: weight
                0, label 0, and one padding token, as no row may be empty.

        Raises:
            ValueError: there are more rows than ``num_rows``, or none at all.
        """
        batch_size = len(rows) if num_rows is None else num_rows
        if batch_size < max(1, len(rows)):
            raise ValueError(
                f"1 <= num_rows and len(rows) <= num_rows must hold, but got "
                f"(len(rows)={len(rows)}, num_rows={num_rows})"
            )
        # One array, so that one transfer takes it to the device.
        row_info = np.zeros((3, batch_size), dtype=np.int64)  # first token, tokens, label
        row_info[0, : len(rows)] = self._split.offsets[rows]
        row_info[1, : len(rows)] = self._split.offsets[rows + 1] - row_info[0, : len(rows)]
        row_info[2, : len(rows)] = self._split.labels[rows]
        info_on_host = torch.from_numpy(row_info)
        info_on_device = send(info_on_host, self._device)
        tokens_on_device = self._tokens.device == info_on_device.device
        width = self._width(max(1, int(row_info[1].max())))
        return Batch(
            token_ids=self._padded(info_on_device if tokens_on_device else info_on_host, width),
            lengths=info_on_device[1].clamp(min=1),
            labels=info_on_device[2],
            weights=(info_on_device[1] > 0).float(),
            ngrams=None if self._hasher is None else self._ngrams(rows, batch_size),
        )

    def _ngrams(self, rows: npt.NDArray[np.int64], batch_size: int) -> Tensor:
        assert self._hasher is not None
        found = self._hasher.padded(self._split.take(rows))
        padded = np.pad(found, [(0, batch_size - len(rows)), (0, 0)])
        return send(torch.from_numpy(padded), self._device)

    def _width(self, longest: int) -> int:
        step = WIDTH_STEP_ON_GPUS if self._device.type == "cuda" else 1
        return -(-longest // step) * step

    def _padded(self, row_info: Tensor, width: int) -> Tensor:
        """The padded tokens of a batch, on the device.

        Args:
            row_info: int64 [3, B], each row's first token, number of tokens and label; where the
                split's tokens are.
            width: T, at least the longest row.

        Returns:
            int64 [B, T].
        """
        starts, lengths, _ = row_info.unsqueeze(2)  # [B, 1]
        columns = torch.arange(width, device=row_info.device)
        positions = (starts + columns).clamp_(max=len(self._tokens) - 1)  # [B, T]
        tokens = self._tokens[positions].masked_fill_(columns >= lengths, 0)
        return send(tokens, self._device).long()


def send(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on the device; does not wait for a GPU, which reads them from pinned memory."""
    if device.type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def fits(num_bytes: int, device: torch.device) -> bool:
    """Whether data of this size may stay on the device for the whole run."""
    if device.type != "cuda":
        return True
    free, whole = torch.cuda.mem_get_info(device)
    # Of a GPU that several trials share, what this process may take.
    own = whole * torch.cuda.get_per_process_memory_fraction(device)
    return num_bytes <= RESIDENT_SHARE * min(free, own)


def _as_tensor(values: npt.NDArray[np.int32]) -> Tensor:
    """Without a copy; Ray's arrays are read-only, which torch warns about."""
    if values.flags.writeable:
        return torch.from_numpy(values)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)
