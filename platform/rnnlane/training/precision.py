"""With how many bits a GPU computes, in training and where a model is scored or served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rnnlane.config.training import TrainingConfig


def uses_bfloat16(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast."""
    return config.precision == "bfloat16" and device.type == "cuda"


@contextmanager
def training_precision(config: TrainingConfig) -> Iterator[None]:
    """The arithmetic of training: TF32 in the recurrent layers, unless float32 is asked for."""
    with _tf32(config.precision != "float32"):
        yield


@contextmanager
def served_precision() -> Iterator[None]:
    """The arithmetic of a served model: float32, also where a step computes with fewer bits."""
    with _tf32(False):
        yield


@contextmanager
def _tf32(in_recurrent_layers: bool) -> Iterator[None]:
    """Sets where products of float32 may be rounded to TF32, and restores it.

    Never outside cuDNN: what is left to cuBLAS is the head, whose products are small. The flags are
    those of the whole process; CPUs do not read them.
    """
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    with _allowed(cudnn, in_recurrent_layers), _allowed(cublas, False):
        yield


@contextmanager
def _allowed(library: Any, is_allowed: bool) -> Iterator[None]:
    try:
        before = library.allow_tf32
    except RuntimeError:
        # The program has used torch's newer settings, and mixes with no others: its own hold.
        yield
        return
    library.allow_tf32 = is_allowed
    try:
        yield
    finally:
        library.allow_tf32 = before
