"""The encoder against a packed sequence through the very same ``nn`` module."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlane.config.model import ModelConfig
from rnnlane.models import recurrent
from rnnlane.models.recurrent import RecurrentEncoder

LENGTHS = torch.tensor([4, 1, 7, 3, 7])
SHAPES = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"),
    [
        (cell, num_layers, bidirectional)
        for cell in ("rnn", "lstm", "gru")
        for num_layers in (1, 2, 3)
        for bidirectional in (False, True)
    ],
)


def make_encoder(**changes: Any) -> RecurrentEncoder:
    torch.manual_seed(0)
    return RecurrentEncoder(ModelConfig(**{"embedding_dim": 5, "hidden_size": 4} | changes))


def rows_of(
    lengths: Tensor, extra_padding: int = 0, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Random rows whose padding is random too, so that reading it shows."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(len(lengths), int(lengths.max()), 5, generator=generator, dtype=dtype)
    noise = torch.full((len(lengths), extra_padding, 5), 9.0, dtype=dtype)
    return torch.cat([values, noise], dim=1).requires_grad_()


def packed_reference(
    encoder: RecurrentEncoder, rows: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
    outputs, state = encoder.rnn(packed)
    hidden = state[0] if isinstance(state, tuple) else state
    directions = 2 if encoder.rnn.bidirectional else 1
    final = torch.cat(list(hidden[-directions:]), dim=1)
    return pad_packed_sequence(outputs, batch_first=True, total_length=rows.shape[1])[0], final


def real(outputs: Tensor, lengths: Tensor) -> Tensor:
    return torch.cat([row[:length] for row, length in zip(outputs, lengths, strict=True)])


def gradients(encoder: RecurrentEncoder, rows: Tensor, *results: Tensor) -> list[Tensor]:
    """Of a sum that weighs every number differently."""
    loss = sum(
        (result * torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)).sum()
        for result in results
    )
    assert isinstance(loss, Tensor)
    return list(torch.autograd.grad(loss, [rows, *encoder.parameters()]))


def assert_equals_packed(encoder: RecurrentEncoder, lengths: Tensor, extra_padding: int) -> None:
    """In float64, where the order of sums hardly shows."""
    encoder = encoder.double()
    rows = rows_of(lengths, extra_padding, dtype=torch.float64)
    outputs, final = encoder(rows, lengths)
    expected_outputs, expected_final = packed_reference(encoder, rows, lengths)

    assert outputs.shape == (*rows.shape[:2], encoder.output_size)
    ours, theirs = real(outputs, lengths), real(expected_outputs, lengths)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    torch.testing.assert_close(final, expected_final, atol=1e-12, rtol=0)
    for gradient, expected in zip(
        gradients(encoder, rows, ours, final),
        gradients(encoder, rows, theirs, expected_final),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=1e-12)


@SHAPES
@pytest.mark.parametrize("extra_padding", [0, 6])
def test_outputs_final_state_and_gradients_equal_a_packed_sequence(
    cell: str, num_layers: int, bidirectional: bool, extra_padding: int
) -> None:
    encoder = make_encoder(cell=cell, num_layers=num_layers, bidirectional=bidirectional)

    assert_equals_packed(encoder, LENGTHS, extra_padding)


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    cell=st.sampled_from(["rnn", "lstm", "gru"]),
    extra_padding=st.integers(0, 3),
)
def test_any_lengths_equal_a_packed_sequence(
    lengths: list[int], cell: str, extra_padding: int
) -> None:
    encoder = make_encoder(cell=cell, num_layers=2, bidirectional=True)

    assert_equals_packed(encoder, torch.tensor(lengths), extra_padding)


@SHAPES
def test_padding_changes_nothing(cell: str, num_layers: int, bidirectional: bool) -> None:
    encoder = make_encoder(cell=cell, num_layers=num_layers, bidirectional=bidirectional)
    bare, padded = rows_of(LENGTHS), rows_of(LENGTHS, extra_padding=6)

    outputs, final = encoder(bare, LENGTHS)
    padded_outputs, padded_final = encoder(padded, LENGTHS)

    torch.testing.assert_close(final, padded_final, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        real(outputs, LENGTHS), real(padded_outputs, LENGTHS), atol=1e-6, rtol=0
    )
    input_gradient, *_ = gradients(encoder, padded, real(padded_outputs, LENGTHS), padded_final)
    is_padding = torch.arange(padded.shape[1]) >= LENGTHS.unsqueeze(1)
    assert (input_gradient[is_padding] == 0).all()


@SHAPES
def test_nothing_is_read_on_the_host(cell: str, num_layers: int, bidirectional: bool) -> None:
    """On the device ``meta`` tensors have no values: whoever asks for one fails."""
    encoder = make_encoder(cell=cell, num_layers=num_layers, bidirectional=bidirectional).to("meta")
    rows = rows_of(LENGTHS).detach().to("meta").requires_grad_()

    outputs, final = encoder(rows, LENGTHS.to("meta"))
    (outputs.sum() + final.sum()).backward()

    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_gradient_can_be_asked_of_a_model_that_does_not_train(
    monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    """cuDNN refuses one after a forward pass that was not told of it."""
    told = []
    kernel = getattr(torch, cell)

    def spy(*arguments: Any) -> Any:
        told.append(arguments[6])
        return kernel(*arguments)

    monkeypatch.setattr(torch, cell, spy)
    encoder = make_encoder(cell=cell).eval()
    encoder(rows_of(LENGTHS), LENGTHS)
    with torch.no_grad():
        encoder(rows_of(LENGTHS), LENGTHS)

    assert told == [True, False]


def as_one_block(weights: list[Tensor]) -> None:
    """Moves the weights side by side into new storage, as cuDNN's function does."""
    sizes = [weight.numel() for weight in weights]
    block = torch.cat([weight.detach().flatten() for weight in weights])
    with torch.no_grad():
        for weight, part in zip(weights, block.split(sizes), strict=True):
            weight.set_(part.view_as(weight))  # type: ignore[call-overload]


@pytest.fixture
def cudnn_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights on the CPU are laid out as on a GPU: by torch all in one block, when they move."""

    def flatten(
        weights: list[Tensor], stride: int, input_size: int, mode: str, hidden: int, *rest: Any
    ) -> None:
        assert (stride, *rest) == (4, 0, 1, False, False)
        gates = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}[mode]
        assert weights[0].shape == (gates * hidden, input_size)
        as_one_block(weights)

    monkeypatch.setattr(torch.backends.cudnn.m, "is_acceptable", lambda _: True)
    monkeypatch.setattr(recurrent, "get_cudnn_mode", lambda mode: mode)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", flatten)
    monkeypatch.setattr(
        torch.nn.RNNBase, "flatten_parameters", lambda rnn: as_one_block(rnn._flat_weights)
    )


def is_flat(encoder: RecurrentEncoder) -> bool:
    """Whether cuDNN would find the weights of each call without a copy."""
    for weights in encoder.rnn.all_weights:
        expected = weights[0].untyped_storage().data_ptr()
        for weight in weights:
            if weight.data_ptr() != expected or not weight.is_contiguous():
                return False
            expected += weight.nbytes
    return True


@pytest.mark.usefixtures("cudnn_on_cpu")
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_each_layer_and_direction_has_its_weights_in_one_block(cell: str) -> None:
    encoder = make_encoder(cell=cell, num_layers=2, bidirectional=True)
    weights = {name: value.double() for name, value in encoder.state_dict().items()}
    parameters = list(encoder.parameters())
    assert not is_flat(encoder)

    moved = encoder.to(torch.float64)
    assert is_flat(moved)
    assert all(old is new for old, new in zip(parameters, moved.parameters(), strict=True))

    optimizer = torch.optim.Adam(moved.parameters())
    moved(rows_of(LENGTHS, dtype=torch.float64), LENGTHS)[1].sum().backward()
    optimizer.step()
    assert all((moved.state_dict()[name] != value).any() for name, value in weights.items())

    moved.load_state_dict(weights)
    for kept in (moved, copy.deepcopy(moved), pickle.loads(pickle.dumps(moved))):
        assert is_flat(kept)
        for name, value in kept.state_dict().items():
            assert torch.equal(value, weights[name]), name


def test_dropout_acts_between_layers_and_only_while_training() -> None:
    encoder = make_encoder(num_layers=2, dropout=0.5)
    rows = rows_of(LENGTHS)

    def final() -> Tensor:
        state: Tensor = encoder(rows, LENGTHS)[1]
        return state

    assert not torch.equal(final(), final())
    encoder.eval()
    assert torch.equal(final(), final())
    torch.testing.assert_close(final(), packed_reference(encoder, rows, LENGTHS)[1])


def test_dropout_leaves_the_last_layer_alone() -> None:
    encoder = make_encoder(num_layers=2, dropout=0.999)

    outputs, _ = encoder(rows_of(LENGTHS), LENGTHS)

    assert (outputs != 0).all()


def test_weights_have_the_standard_names() -> None:
    names = set(make_encoder(num_layers=2, bidirectional=True).state_dict())

    assert {"rnn.weight_ih_l0", "rnn.weight_hh_l1_reverse", "rnn.bias_ih_l0_reverse"} < names
