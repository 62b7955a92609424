"""A stack of recurrent layers over sequences of unequal length, exact and fast on CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlane.config.experiment import ModelConfig
from rnnlane.models.tanh_layer import tanh_layer

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(nn.Module):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` that reads each row to its own length.

    Padding changes nothing: outputs and gradients equal those of a packed sequence. cuDNN runs a
    packed sequence as it is. On the CPU packing makes a step 3 times (rnn, gru) to 15 times (lstm)
    as long, so there each layer and direction runs over the padded batch as a layer of its own;
    the backward direction reads each row reversed within its own length. Padding then always
    follows the real positions and never reaches one.

    Attributes:
        rnn: holds the weights under torch's standard names.
    """

    def __init__(self, config: ModelConfig):
        """Makes the layers with torch's default initialisation, and open forget gates.

        Open forget gates: Jozefowicz, Zaremba and Sutskever, "An empirical exploration of
        recurrent network architectures", ICML 2015.
        """
        super().__init__()
        self.rnn = _CELLS[config.cell](
            config.embedding_dim,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            batch_first=True,
        )
        if config.cell == "lstm":
            self._open_forget_gates()

    def _open_forget_gates(self) -> None:
        hidden = self.rnn.hidden_size
        with torch.no_grad():
            for name, parameter in self.rnn.named_parameters():
                if name.startswith("bias_ih"):
                    parameter[hidden : 2 * hidden] = 1.0  # gates in order: input, forget, ...

    @property
    def output_size(self) -> int:
        """Features of an output position: D * H, where D is 2 if bidirectional, else 1."""
        return self.rnn.hidden_size * self._num_directions

    @property
    def _num_directions(self) -> int:
        return 2 if self.rnn.bidirectional else 1

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Reads every row.

        Args:
            embedded: float [B, T, E], padded on the right.
            lengths: int64 [B], each in [1, T]; on the CPU or where ``embedded`` is. On a GPU,
                lengths in pinned memory of the CPU, longest row first, save waits for the device.

        Returns:
            The last layer's outputs, float [B, T, D * H], without meaning beyond a row's length;
            and its final state, float [B, D * H]: forward after the row's last position,
            backward after its first.
        """
        if embedded.is_cuda:
            outputs = self._packed(embedded, lengths)
        else:
            outputs = self._padded(embedded, lengths)
        there = lengths.to(outputs.device, non_blocking=True)
        return outputs, self._final_state(outputs, there)

    def _final_state(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.rnn.hidden_size
        rows = torch.arange(len(lengths), device=lengths.device)
        forward = outputs[rows, lengths - 1, :hidden]
        return torch.cat([forward, outputs[:, 0, hidden:]], dim=1)

    def _packed(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        lengths = lengths.cpu()
        is_sorted = bool((lengths[1:] <= lengths[:-1]).all())
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=is_sorted)
        outputs, _ = self.rnn(packed)
        unpacked, _ = pad_packed_sequence(outputs, batch_first=True, total_length=embedded.shape[1])
        return unpacked

    def _padded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        steps = embedded.transpose(0, 1)  # [T, B, E], as the kernels read it
        mirror = _mirrored_positions(lengths.to(steps.device, non_blocking=True), len(steps))
        for layer in range(self.rnn.num_layers):
            weights = self.rnn.all_weights[layer * self._num_directions :]
            directions = [self._one_direction(steps, weights[0])]
            if self.rnn.bidirectional:
                read_backwards = self._one_direction(_mirrored(steps, mirror), weights[1])
                directions.append(_mirrored(read_backwards, mirror))
            steps = torch.cat(directions, dim=2)
            if layer < self.rnn.num_layers - 1:
                steps = functional.dropout(steps, self.rnn.dropout, training=self.training)
        return steps.transpose(0, 1)

    def _one_direction(self, steps: Tensor, weights: list[nn.Parameter]) -> Tensor:
        """One layer in one direction: float [T, B, any] -> [T, B, H].

        LSTM and GRU by the functions that torch's own modules call; torch.lstm runs in oneDNN's
        fused kernel.
        """
        state = steps.new_zeros(1, steps.shape[1], self.rnn.hidden_size)
        settings = (True, 1, 0.0, self.training, False, False)
        params: list[Tensor] = list(weights)
        if self.rnn.mode == "LSTM":
            outputs, _, _ = torch.lstm(steps, [state, state], params, *settings)
        elif self.rnn.mode == "GRU":
            outputs, _ = torch.gru(steps, state, params, *settings)
        else:
            outputs = tanh_layer(steps, params)
        return outputs


def _mirrored_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """For [T, B] laid out flat, where each position is read from to reverse rows: int64 [T * B].

    Position t of a row of length n comes from n - 1 - t; padding stays where it is.
    """
    positions = torch.arange(num_positions, device=lengths.device).unsqueeze(1)
    mirrored = torch.where(positions < lengths, lengths - 1 - positions, positions)
    return (mirrored * len(lengths) + torch.arange(len(lengths), device=lengths.device)).flatten()


def _mirrored(values: Tensor, mirror: Tensor) -> Tensor:
    """Each row of float [T, B, F] reversed within its own length; its own inverse."""
    return cast(Tensor, _Mirror.apply(values, mirror))  # type: ignore[no-untyped-call]


class _Mirror(torch.autograd.Function):
    """Nothing is read twice, so the gradient is read like the values; torch's own would add up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mirror: Tensor) -> Tensor:
        ctx.save_for_backward(mirror)
        return values.flatten(0, 1).index_select(0, mirror).view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mirror,) = ctx.saved_tensors
        return _mirrored(gradients[0], mirror), None
