from __future__ import annotations

import pytest
import torch

from rnnlane.models.tanh_layer import tanh_layer


@pytest.mark.parametrize("num_steps", [1, 2, 6])
def test_gradients_are_those_of_finite_differences(num_steps: int) -> None:
    torch.manual_seed(0)
    weights = list(torch.nn.RNN(3, 4, dtype=torch.float64).parameters())
    inputs = torch.randn(num_steps, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *w: tanh_layer(x, list(w)), (inputs, *weights))


def test_outputs_are_those_of_torch() -> None:
    torch.manual_seed(0)
    rnn = torch.nn.RNN(5, 7)
    inputs = torch.randn(11, 3, 5)
    torch.testing.assert_close(tanh_layer(inputs, list(rnn.parameters())), rnn(inputs)[0])
