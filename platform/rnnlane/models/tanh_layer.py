"""One direction of a tanh recurrent layer for CPUs, forward and backward.

torch has no fused kernel for it there: ``torch.rnn_tanh`` records several small operations of each
time step for its backward pass. Here only what depends on the step before is computed step by step;
all else, forward and backward, is one matrix product over all steps.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def tanh_layer(inputs: Tensor, weights: list[Tensor]) -> Tensor:
    """What ``torch.rnn_tanh`` gives for one layer, one direction and a first state of zeros.

    Args:
        inputs: float [T, B, I].
        weights: of nn.RNN: input [H, I], recurrent [H, H], and their biases [H].

    Returns:
        float [T, B, H].
    """
    return cast(Tensor, _TanhLayer.apply(inputs, *weights))  # type: ignore[no-untyped-call]


class _TanhLayer(torch.autograd.Function):
    """h[t] = tanh(W x[t] + U h[t - 1] + b + c)."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, other: Tensor
    ) -> Tensor:
        states = torch.nn.functional.linear(inputs, weight, bias + other)  # [T, B, H]
        turned = recurrent.t()
        state = states[0].tanh_()
        for following in states[1:].unbind():
            state = following.addmm_(state, turned).tanh_()
        ctx.save_for_backward(inputs, states, weight, recurrent)
        return states

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, states, weight, recurrent = ctx.saved_tensors
        # [T, B, H]: of the states at first.
        found = gradients[0].clone(memory_format=torch.contiguous_format)
        slopes = (1.0 - states * states).unbind()
        rows = found.unbind()
        later = rows[-1].mul_(slopes[-1])
        for row, slope in zip(rows[-2::-1], slopes[-2::-1], strict=True):
            later = row.addmm_(later, recurrent).mul_(slope)
        flat = found.flatten(0, 1)  # of the sums before tanh, from here on
        bias = flat.sum(0)
        return (
            found @ weight if ctx.needs_input_grad[0] else None,
            flat.t() @ inputs.flatten(0, 1),
            found[1:].flatten(0, 1).t() @ states[:-1].flatten(0, 1),
            bias,
            bias,
        )
