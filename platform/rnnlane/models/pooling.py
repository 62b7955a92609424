"""Pooling: from the outputs of a row to one vector; padding never counts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pooling = Callable[[Tensor, Tensor, Tensor], Tensor]


def last(outputs: Tensor, final_state: Tensor, lengths: Tensor) -> Tensor:
    """The final state: float [B, F]."""
    del outputs, lengths
    return final_state


def mean(outputs: Tensor, final_state: Tensor, lengths: Tensor) -> Tensor:
    """Mean of the outputs [B, T, F] over each row's real positions: float [B, F]."""
    del final_state
    real = _is_real(outputs, lengths)
    return outputs.masked_fill(~real, 0.0).sum(dim=1) / lengths.unsqueeze(1)


def maximum(outputs: Tensor, final_state: Tensor, lengths: Tensor) -> Tensor:
    """Maximum of each feature over each row's real positions: float [B, F]."""
    del final_state
    real = _is_real(outputs, lengths)
    return outputs.masked_fill(~real, -torch.inf).amax(dim=1)


POOLINGS: dict[str, Pooling] = {"last": last, "mean": mean, "max": maximum}


def _is_real(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Bool [B, T, 1]."""
    positions = torch.arange(outputs.shape[1], device=outputs.device)
    return (positions < lengths.unsqueeze(1)).unsqueeze(2)
