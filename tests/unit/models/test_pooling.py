from __future__ import annotations

import pytest
import torch

from rnnlane.models.pooling import POOLINGS

OUTPUTS = torch.tensor([[[-1.0, 4.0], [-3.0, 2.0], [9.0, 9.0]], [[-5.0, 1.0], [9.0, 9.0], [9, 9]]])
FINAL_STATE = torch.tensor([[7.0, 7.0], [8.0, 8.0]])
LENGTHS = torch.tensor([2, 1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("last", [[7.0, 7.0], [8.0, 8.0]]),
        ("mean", [[-2.0, 3.0], [-5.0, 1.0]]),
        ("max", [[-1.0, 4.0], [-5.0, 1.0]]),
    ],
)
def test_only_real_positions_count(name: str, expected: list[list[float]]) -> None:
    assert POOLINGS[name](OUTPUTS, FINAL_STATE, LENGTHS).tolist() == expected


@pytest.mark.parametrize("name", ["mean", "max"])
def test_padding_gets_no_gradient(name: str) -> None:
    outputs = OUTPUTS.clone().requires_grad_()

    POOLINGS[name](outputs, FINAL_STATE, LENGTHS).sum().backward()

    assert outputs.grad is not None
    assert outputs.grad[0, 2].tolist() == [0.0, 0.0]
    assert outputs.grad[1, 1:].abs().sum() == 0
