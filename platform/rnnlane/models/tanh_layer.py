"""One direction of a tanh recurrent layer for CPUs, forward and backward.

Torch has no fused CPU kernel for it: ``torch.rnn_tanh`` records several small operations per time
step for its backward pass. Here only the recurrence itself runs step by step; everything else, in
both passes, is one matrix product over all steps.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def tanh_layer(inputs: Tensor, weights: list[Tensor], initial: Tensor | None = None) -> Tensor:
    """Equals ``torch.rnn_tanh`` for one layer and one direction.

    Args:
        inputs: float [T, B, I].
        weights: as in nn.RNN: W [H, I], U [H, H], and their biases b [H] and c [H].
        initial: the state before the first step, float [B, H], which gets no gradient; default:
            zeros.

    Returns:
        float [T, B, H].
    """
    return cast(Tensor, _TanhLayer.apply(inputs, *weights, initial))  # type: ignore[no-untyped-call]


class _TanhLayer(torch.autograd.Function):
    """h[t] = tanh(W x[t] + U h[t - 1] + b + c), with a given h[-1].

    Backward: let s[t] be the sum inside tanh, and dh, ds the gradients of the loss with respect to
    h and s. A state acts through its own output and through the next sum:

        dh[t] = gradient of output t + ds[t + 1] U        ds[t] = dh[t] * (1 - h[t]^2)

    and with ds known for all t:  dx = ds W,  dW = sum of ds[t]^T x[t],  dU = sum of ds[t]^T h[t-1],
    db = dc = sum of ds[t].
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        other: Tensor,
        initial: Tensor | None = None,
    ) -> Tensor:
        # All W x[t] + b + c at once; each is then turned into the state h[t] in place.
        states = torch.nn.functional.linear(inputs, weight, bias + other)  # [T, B, H]
        transposed = recurrent.t()
        if initial is not None:
            states[0].addmm_(initial, transposed)
        state = states[0].tanh_()
        for following in states[1:].unbind():
            state = following.addmm_(state, transposed).tanh_()
        ctx.save_for_backward(inputs, states, weight, recurrent, initial)
        return states

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, states, weight, recurrent, initial = ctx.saved_tensors
        # [T, B, H]: the outputs' gradients, turned into ds[t] in place from the last step back.
        sums = gradients[0].clone(memory_format=torch.contiguous_format)
        slopes = (1.0 - states * states).unbind()
        rows = sums.unbind()
        later = rows[-1].mul_(slopes[-1])
        for row, slope in zip(rows[-2::-1], slopes[-2::-1], strict=True):
            later = row.addmm_(later, recurrent).mul_(slope)
        flat = sums.flatten(0, 1)  # [T * B, H]
        bias = flat.sum(0)
        of_recurrent = sums[1:].flatten(0, 1).t() @ states[:-1].flatten(0, 1)
        if initial is not None:
            of_recurrent.addmm_(sums[0].t(), initial)
        return (
            sums @ weight if ctx.needs_input_grad[0] else None,
            flat.t() @ inputs.flatten(0, 1),
            of_recurrent,
            bias,
            bias,
            None,
        )
