"""Rows of a split -> the padded tensors that a model reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rnnlane.data.encoded import EncodedSplit


@dataclass(frozen=True)
class Batch:
    """B rows, T tokens the longest of them; on the CPU.

    Attributes:
        token_ids: int64 [B, T], padded on the right with 0.
        lengths: int64 [B], tokens of each row, at least 1.
        labels: int64 [B].
        weights: float32 [B], 1 for a real row and 0 for a padding row.
    """

    token_ids: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


def make_batch(
    split: EncodedSplit, rows: npt.NDArray[np.int64], *, num_rows: int | None = None
) -> Batch:
    """Gathers and pads some rows.

    Args:
        split: where the rows are.
        rows: int64 [n], row ids; may be empty where ``num_rows`` is given.
        num_rows: rows of the batch, at least n and 1. Those beyond n are padding rows: weight 0,
            label 0, and one padding token, as no row may be empty.

    Raises:
        ValueError: there are more rows than ``num_rows``, or none at all.
    """
    batch_size = len(rows) if num_rows is None else num_rows
    if batch_size < max(1, len(rows)):
        raise ValueError(
            f"1 <= num_rows and len(rows) <= num_rows must hold, but got "
            f"(len(rows)={len(rows)}, num_rows={num_rows})"
        )
    tokens, real_lengths = split.tokens_of(rows)
    lengths = np.ones(batch_size, dtype=np.int64)
    lengths[: len(rows)] = real_lengths
    token_ids = np.zeros((batch_size, lengths.max()), dtype=np.int64)
    is_token = np.arange(token_ids.shape[1]) < real_lengths[:, None]
    token_ids[: len(rows)][is_token] = tokens
    labels = np.zeros(batch_size, dtype=np.int64)
    labels[: len(rows)] = split.labels[rows]
    weights = np.arange(batch_size) < len(rows)
    return Batch(
        token_ids=torch.from_numpy(token_ids),
        lengths=torch.from_numpy(lengths),
        labels=torch.from_numpy(labels),
        weights=torch.from_numpy(weights.astype(np.float32)),
    )
