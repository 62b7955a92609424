"""What every registered encoder must do; a new one is tested by its line in the registry."""

import copy

import pytest
import torch
from torch import Tensor

from rnnlane.config.encoders import ENCODERS
from rnnlane.config.model import ModelConfig
from rnnlane.models.encoder import Encoder, build_encoder
from support.events import Remembered
from support.runs import timeless, trained

LENGTHS = torch.tensor([4, 1, 7, 3, 7])
EVERY = pytest.mark.parametrize("cell", list(ENCODERS))
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True])


def make_encoder(cell: str, bidirectional: bool) -> Encoder:
    torch.manual_seed(0)
    shape = {"embedding_dim": 5, "hidden_size": 4, "num_layers": 2, "bidirectional": bidirectional}
    return build_encoder(ModelConfig(cell=cell, **shape))


def rows_of(lengths: Tensor, extra_padding: int = 0) -> Tensor:
    """Random rows [B, T, 5]; the padding is not zero, so that reading it shows."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(len(lengths), int(lengths.max()), 5, generator=generator)
    noise = torch.full((len(lengths), extra_padding, 5), 9.0)
    return torch.cat([values, noise], dim=1).requires_grad_()


def real(outputs: Tensor, lengths: Tensor) -> Tensor:
    """The outputs of the real positions, row after row."""
    return torch.cat([row[:length] for row, length in zip(outputs, lengths, strict=True)])


def weighted_sum(values: Tensor) -> Tensor:
    """A loss that depends on every number differently."""
    return (values * torch.linspace(-1, 1, values.numel()).view_as(values)).sum()


def row_by_row(encoder: Encoder, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The reference: each row alone, without padding."""
    alone = [
        encoder(row[:length].unsqueeze(0), length.unsqueeze(0))
        for row, length in zip(rows, lengths, strict=True)
    ]
    return torch.cat([outputs[0] for outputs, _ in alone]), torch.cat([final for _, final in alone])


@EVERY
@DIRECTIONS
def test_shapes_are_as_announced(cell, bidirectional):
    encoder = make_encoder(cell, bidirectional)
    outputs, final = encoder(rows_of(LENGTHS, extra_padding=2), LENGTHS)
    assert outputs.shape == (5, 9, encoder.output_size)
    assert final.shape == (5, encoder.output_size)
    assert outputs.dtype == final.dtype == torch.float32


@EVERY
@DIRECTIONS
@pytest.mark.parametrize("extra_padding", [0, 6])
def test_a_row_depends_on_neither_padding_nor_other_rows(cell, bidirectional, extra_padding):
    encoder = make_encoder(cell, bidirectional)
    rows = rows_of(LENGTHS, extra_padding)
    outputs, final = encoder(rows, LENGTHS)
    expected_outputs, expected_final = row_by_row(encoder, rows, LENGTHS)
    torch.testing.assert_close(real(outputs, LENGTHS), expected_outputs, atol=1e-6, rtol=0)
    torch.testing.assert_close(final, expected_final, atol=1e-6, rtol=0)


@EVERY
@DIRECTIONS
def test_gradients_equal_those_of_each_row_alone(cell, bidirectional):
    encoder = make_encoder(cell, bidirectional)
    rows = rows_of(LENGTHS, extra_padding=3)

    def gradients(outputs: Tensor, final: Tensor) -> tuple[Tensor, ...]:
        loss = weighted_sum(outputs) + weighted_sum(final)
        return torch.autograd.grad(loss, [rows, *encoder.parameters()], allow_unused=True)

    outputs, final = encoder(rows, LENGTHS)
    ours = gradients(real(outputs, LENGTHS), final)
    theirs = gradients(*row_by_row(encoder, rows, LENGTHS))
    for gradient, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)
    is_padding = torch.arange(rows.shape[1]) >= LENGTHS.unsqueeze(1)
    assert (ours[0][is_padding] == 0).all()
    assert (ours[0][~is_padding] != 0).any(dim=1).all()


@EVERY
@DIRECTIONS
def test_a_copy_is_independent_and_equal(cell, bidirectional):
    encoder = make_encoder(cell, bidirectional)
    rows = rows_of(LENGTHS)
    before = encoder(rows, LENGTHS)[1]
    other = copy.deepcopy(encoder)
    assert torch.equal(other(rows, LENGTHS)[1], before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert torch.equal(encoder(rows, LENGTHS)[1], before)
    assert not torch.equal(other(rows, LENGTHS)[1], before)


@EVERY
@DIRECTIONS
def test_the_final_state_is_enough_to_learn_from(cell, bidirectional):
    outcome = trained(
        f"model.cell={cell}",
        f"model.bidirectional={str(bidirectional).lower()}",
        "training.epochs=6",
        "training.learning_rate=0.03",
    )
    losses = [record["train/loss"] for record in outcome.history]
    assert losses[-1] < 0.9 * losses[0]


@EVERY
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_run_resumes_bit_identically(tmp_path, cell, pooling):
    overrides = (
        f"model.cell={cell}",
        f"model.pooling={pooling}",
        "model.num_layers=2",
        "model.dropout=0.3",
        "training.clip.policy=auto",
        "training.checkpoint_every_s=1e-9",
    )
    events = Remembered(tmp_path)
    whole = trained(*overrides, events=events)
    resumed = trained(*overrides, start=events.checkpoints[4])
    assert timeless(resumed.history) == timeless(whole.history)
    for name, tensor in whole.weights.items():
        assert torch.equal(resumed.weights[name], tensor), name
