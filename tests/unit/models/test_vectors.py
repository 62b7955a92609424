from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnlane.config.model import ModelConfig
from rnnlane.models.classifier import build_model
from rnnlane.models.vectors import apply_vectors


def test_found_vectors_replace_rows_of_the_embedding_but_not_padding() -> None:
    model = build_model(ModelConfig(embedding_dim=2), vocabulary_size=4, num_classes=2, seed=0)
    before = model.embedding.weight.detach().clone()
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2) + 1

    apply_vectors(model, matrix, np.array([True, False, True, True]))

    weight = model.embedding.weight
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight[0].tolist() == [0, 0]
    assert torch.equal(weight[1], before[1])
    assert weight[2:].tolist() == [[5, 6], [7, 8]]


def test_vectors_of_another_shape_are_refused() -> None:
    model = build_model(ModelConfig(embedding_dim=2), vocabulary_size=4, num_classes=2, seed=0)

    with pytest.raises(ValueError, match=r"shape \(4, 2\), but got \(4, 3\)"):
        apply_vectors(model, np.zeros((4, 3), dtype=np.float32), np.ones(4, dtype=np.bool_))
