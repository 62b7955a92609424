"""A stack of recurrent layers over sequences of unequal length, exact and fast on CPU and GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.backends.cudnn.rnn import get_cudnn_mode
from torch.nn import functional

from rnnlane.config.model import ModelConfig
from rnnlane.models.encoder import Encoder
from rnnlane.models.tanh_layer import tanh_layer

# Of one layer and direction: h, and c of an LSTM, float [1, B, H] each.
State = tuple[Tensor, ...]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# Whether a GPU runs the two directions of a layer at once. Off, because it has not been measured.
TWO_STREAMS = False


class RecurrentEncoder(Encoder):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` that reads each row to its own length.

    Padding has no effect: outputs and gradients equal those of a packed sequence. But packing makes
    a step slow: on the CPU it takes 3 times (rnn, gru) to 15 times (lstm) as long, and on a GPU 8
    to 22 times, as cuDNN's persistent kernels read no packed rows. So every layer and direction
    runs over the padded batch as a separate one-directional layer, and the backward direction
    reads each row reversed within its own length. Padding then always comes after the real
    positions, which therefore never depend on it.

    Attributes:
        rnn: holds the weights under torch's standard names.
        output_size: D * H, where D is 2 if bidirectional, else 1.
    """

    def __init__(self, config: ModelConfig):
        """Builds the layers with torch's default initialization, and open forget gates.

        Open forget gates: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of
        recurrent network architectures", ICML 2015.
        """
        super().__init__()
        self.rnn = CELLS[config.cell](
            config.embedding_dim,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            batch_first=True,
        )
        self._num_directions = 2 if config.bidirectional else 1
        self.output_size = config.hidden_size * self._num_directions
        if config.cell == "lstm":
            self._open_forget_gates()

    def _open_forget_gates(self) -> None:
        hidden = self.rnn.hidden_size
        with torch.no_grad():
            for name, parameter in self.rnn.named_parameters():
                if name.startswith("bias_ih"):
                    parameter[hidden : 2 * hidden] = 1.0  # gates in order: input, forget, ...

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a copy, whose weights are separate tensors."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._flatten_weights()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What ``to`` and ``cuda`` call: torch then lays out all weights as one block."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._flatten_weights()
        return self

    def _flatten_weights(self) -> None:
        """Gives the weights of each layer and direction storage of their own, as cuDNN lays it out.

        Each is one call of cuDNN, which otherwise copies its weights together at every call and
        warns. The parameters stay the same objects. Does nothing where cuDNN does not run.
        """
        for direction in self.rnn.all_weights:
            weights: list[Tensor] = list(direction)
            if not cudnn.is_acceptable(weights[0]):  # type: ignore[no-untyped-call]
                continue
            mode = get_cudnn_mode(self.rnn.mode)  # type: ignore[no-untyped-call]
            shape = (weights[0].shape[1], mode, self.rnn.hidden_size)
            with torch.no_grad(), torch.cuda.device_of(weights[0]):  # type: ignore[no-untyped-call]
                # After the shape: projection size, number of layers, batch_first, bidirectional.
                torch._cudnn_rnn_flatten_weight(weights, len(weights), *shape, 0, 1, False, False)

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes every row; see :meth:`Encoder.forward`.

        Args:
            embedded: float [B, T, E], padded on the right.
            lengths: int64 [B], each in [1, T]; on the device of ``embedded``.

        Returns:
            The last layer's outputs, float [B, T, D * H], undefined beyond a row's length; and its
            final state, float [B, D * H]: of the forward direction after the row's last position,
            of the backward direction after its first.
        """
        steps = embedded.transpose(0, 1)  # [T, B, E], the layout of the kernels
        reversal = _reversal(lengths, len(steps)) if self.rnn.bidirectional else None
        for layer in range(self.rnn.num_layers):
            weights = self.rnn.all_weights[layer * self._num_directions :]
            if reversal is None:
                steps = self._one_direction(steps, weights[0])  # [T, B, H]
            else:
                steps = self._both_directions(steps, reversal, weights)  # [T, B, 2 * H]
            if layer < self.rnn.num_layers - 1:
                steps = functional.dropout(steps, self.rnn.dropout, training=self.training)
        outputs = steps.transpose(0, 1)
        return outputs, self._final_state(outputs, lengths)

    def layers(self) -> list[list[nn.Parameter]]:
        """See :meth:`Encoder.layers`; both directions are of one layer."""
        size = self._num_directions
        weights: list[list[nn.Parameter]] = self.rnn.all_weights
        return [
            [weight for direction in weights[start : start + size] for weight in direction]
            for start in range(0, len(weights), size)
        ]

    def _final_state(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Float [B, D * H], from outputs [B, T, D * H]."""
        hidden = self.rnn.hidden_size
        # Not outputs[rows, lengths - 1]: on a GPU, the gradient of that sorts the indices.
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden)
        forward = outputs[:, :, :hidden].gather(1, last).squeeze(1)
        if not self.rnn.bidirectional:
            return forward
        return torch.cat([forward, outputs[:, 0, hidden:]], dim=1)

    def _both_directions(
        self, steps: Tensor, reversal: Tensor, weights: list[list[nn.Parameter]]
    ) -> Tensor:
        """One layer: float [T, B, any] -> [T, B, 2 * H]."""

        def forward() -> Tensor:
            return self._one_direction(steps, weights[0])

        def backward() -> Tensor:
            mirrored = self._one_direction(_reversed(steps, reversal), weights[1])
            return _reversed(mirrored, reversal)

        if TWO_STREAMS and steps.is_cuda:
            return torch.cat(_at_once(forward, backward, reads=(steps, reversal)), dim=2)
        return torch.cat([forward(), backward()], dim=2)

    def _one_direction(self, steps: Tensor, weights: list[nn.Parameter]) -> Tensor:
        """One layer in one direction: float [T, B, any] -> [T, B, H].

        Calls the functions that torch's own modules call: cuDNN's on a GPU; on the CPU, torch.lstm
        is oneDNN's fused kernel, and a tanh layer has one of ours.
        """
        return run_layer(self.rnn, steps, weights)[0]


def run_layer(
    rnn: nn.RNNBase, steps: Tensor, weights: Sequence[Tensor], state: State | None = None
) -> tuple[Tensor, State]:
    """One layer in one direction.

    Args:
        rnn: of which kind, and how wide, the layer is.
        steps: float [T, B, any].
        weights: of the layer and direction, one of ``rnn.all_weights``.
        state: before the first step, which gets no gradient; default: zeros.

    Returns:
        The outputs, float [T, B, H], and the state after the last step.
    """
    given = state
    if state is None:
        state = (steps.new_zeros(1, steps.shape[1], rnn.hidden_size),) * state_size(rnn)
    # has_biases, num_layers, dropout, train, bidirectional, batch_first. Without dropout, train
    # means only that a backward pass may follow; cuDNN has none otherwise.
    settings = (True, 1, 0.0, torch.is_grad_enabled(), False, False)
    params: list[Tensor] = list(weights)
    if rnn.mode == "LSTM":
        outputs, hidden, cell = torch.lstm(steps, list(state), params, *settings)
        return outputs, (hidden, cell)
    if rnn.mode == "GRU":
        outputs, hidden = torch.gru(steps, state[0], params, *settings)
    elif steps.device.type == "cpu":
        outputs = tanh_layer(steps, params, None if given is None else given[0][0])
        hidden = outputs[-1:]
    else:
        outputs, hidden = torch.rnn_tanh(steps, state[0], params, *settings)
    return outputs, (hidden,)


def state_size(rnn: nn.RNNBase) -> int:
    """How many tensors the state of a layer consists of."""
    return 2 if rnn.mode == "LSTM" else 1


def _at_once(
    first: Callable[[], Tensor], second: Callable[[], Tensor], *, reads: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Calls both; what ``second`` launches runs on a second stream of the GPU.

    So does its backward pass: autograd runs each operation on the stream of its forward pass, and
    waits where a gradient passes from one to the other. Streams are joined by events only, which a
    graph can capture.

    Args:
        first: stays on the current stream.
        second: moves.
        reads: what ``second`` reads from the current stream. Memory is reused in the order of the
            stream that allocated it, which has to be told who else reads it.
    """
    current, other = torch.cuda.current_stream(reads[0].device), _other_stream(reads[0].device)
    other.wait_stream(current)
    with torch.cuda.stream(other):
        moved = second()
    for tensor in reads:
        tensor.record_stream(other)
    stayed = first()
    current.wait_stream(other)
    moved.record_stream(current)
    return stayed, moved


@functools.cache
def _other_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _reversal(lengths: Tensor, num_positions: int) -> Tensor:
    """The permutation that reverses each row within its own length.

    Position t of a row of length n is swapped with n - 1 - t; padding stays. For
    lengths [3, 2] and T = 3, the two rows ``a b c`` and ``d e .`` become ``c b a`` and ``e d .``.
    Time comes first in memory, so the values are stored as ``a d b e c .``, and the permutation is
    [4, 3, 2, 1, 0, 5].

    Returns:
        int64 [T * B]; for each position of a flattened [T, B], the position of its new value.
    """
    batch_size = len(lengths)
    positions = torch.arange(num_positions, device=lengths.device).unsqueeze(1)  # [T, 1]
    source = torch.where(positions < lengths, lengths - 1 - positions, positions)  # [T, B]
    return (source * batch_size + torch.arange(batch_size, device=lengths.device)).flatten()


def _reversed(values: Tensor, reversal: Tensor) -> Tensor:
    """Each row of float [T, B, F] reversed within its own length; its own inverse."""
    return cast(Tensor, _Reverse.apply(values, reversal))  # type: ignore[no-untyped-call]


class _Reverse(torch.autograd.Function):
    """index_select by a permutation that is its own inverse.

    The gradient is then the same permutation of the output's gradient: a plain read. Torch does not
    use that no position is read twice: its own backward pass would add up into zeros.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, reversal: Tensor) -> Tensor:
        ctx.save_for_backward(reversal)
        return values.flatten(0, 1).index_select(0, reversal).view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (reversal,) = ctx.saved_tensors
        return _reversed(gradients[0], reversal), None
