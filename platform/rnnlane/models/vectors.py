"""Pretrained word vectors in a model's embedding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rnnlane.models.classifier import RecurrentClassifier


def apply_vectors(
    model: RecurrentClassifier,
    matrix: npt.NDArray[np.float32],
    has_vector: npt.NDArray[np.bool_],
) -> None:
    """Copies pretrained vectors into the model's embedding, where they stay trainable.

    Args:
        model: its embedding has shape [V, E].
        matrix: float32 [V, E].
        has_vector: bool [V]; the other rows keep their values, and so does the padding row.

    Raises:
        ValueError: the shapes do not fit the model.
    """
    weight = model.embedding.weight
    if matrix.shape != weight.shape or has_vector.shape != weight.shape[:1]:
        raise ValueError(
            f"vectors must have the embedding's shape {tuple(weight.shape)}, "
            f"but got {matrix.shape} and {has_vector.shape}"
        )
    rows = np.flatnonzero(has_vector)
    rows = rows[rows != model.embedding.padding_idx]
    with torch.no_grad():
        weight[torch.from_numpy(rows)] = torch.from_numpy(matrix[rows]).to(weight)
