from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlane.config.model import ModelConfig
from rnnlane.models.classifier import RecurrentClassifier, build_model

TOKEN_IDS = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 0, 0, 0]])
LENGTHS = torch.tensor([4, 2, 1])


def make_model(seed: int = 0, **changes: Any) -> RecurrentClassifier:
    config = ModelConfig(**{"embedding_dim": 5, "hidden_size": 4} | changes)
    return build_model(config, vocabulary_size=12, num_classes=3, seed=seed)


def packed_reference(model: RecurrentClassifier, token_ids: Tensor, pooling: str) -> Tensor:
    """The same model row by row of a packed sequence, pooled by hand."""
    rnn = model.body.encoder.rnn
    packed = pack_padded_sequence(
        model.embedding(token_ids), LENGTHS, batch_first=True, enforce_sorted=False
    )
    packed_outputs, state = rnn(packed)
    hidden = state[0] if isinstance(state, tuple) else state
    if pooling == "last":
        features = torch.cat(list(hidden[-2 if rnn.bidirectional else -1 :]), dim=1)
    else:
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True)
        rows = [row[:length] for row, length in zip(outputs, LENGTHS, strict=True)]
        pool = torch.mean if pooling == "mean" else torch.amax
        features = torch.stack([pool(row, dim=0) for row in rows])
    logits: Tensor = model.body.head(features)
    return logits


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_logits_and_gradients_equal_a_packed_sequence(
    cell: str, num_layers: int, bidirectional: bool, pooling: str
) -> None:
    model = make_model(
        cell=cell, num_layers=num_layers, bidirectional=bidirectional, pooling=pooling
    )
    padded = functional.pad(TOKEN_IDS, (0, 3))

    logits = model(padded, LENGTHS)
    expected = packed_reference(model, padded, pooling)

    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    labels = torch.tensor([0, 2, 1])
    ours, theirs = (
        torch.autograd.grad(functional.cross_entropy(values, labels), list(model.parameters()))
        for values in (logits, expected)
    )
    for gradient, expected_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_logits_of_a_row_do_not_depend_on_padding_or_other_rows(pooling: str) -> None:
    model = make_model(num_layers=2, bidirectional=True, pooling=pooling)

    together = model(functional.pad(TOKEN_IDS, (0, 5)), LENGTHS)
    alone = [model(TOKEN_IDS[i : i + 1, :n], LENGTHS[i : i + 1]) for i, n in enumerate(LENGTHS)]

    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_rows_of_weight_zero_change_no_gradient() -> None:
    model = make_model(bidirectional=True)
    labels = torch.tensor([0, 2, 1])
    parameters = list(model.parameters())

    losses = functional.cross_entropy(model(TOKEN_IDS, LENGTHS), labels, reduction="none")
    weighted = torch.autograd.grad((losses * torch.tensor([1.0, 1.0, 0.0])).sum(), parameters)
    losses = functional.cross_entropy(
        model(TOKEN_IDS[:2], LENGTHS[:2]), labels[:2], reduction="sum"
    )

    for gradient, expected in zip(weighted, torch.autograd.grad(losses, parameters), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)


def test_the_seed_fixes_the_weights() -> None:
    first, same, other = (make_model(seed).state_dict() for seed in (5, 5, 6))

    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()

    make_model()

    assert torch.equal(torch.get_rng_state(), state)


def test_padding_token_is_zero_and_stays_so() -> None:
    model = make_model()

    model(TOKEN_IDS, LENGTHS).sum().backward()

    assert model.embedding.weight[0].abs().sum() == 0
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad[0].abs().sum() == 0


def test_logits_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = make_model(cell="rnn").body.head(torch.zeros(1, 4))
        assert logits.dtype == torch.bfloat16
        assert make_model(cell="rnn")(TOKEN_IDS, LENGTHS).dtype == torch.float32


def test_the_embedding_starts_small_and_padding_at_zero() -> None:
    model = build_model(ModelConfig(), vocabulary_size=3000, num_classes=2, seed=0)
    assert 0.09 < model.embedding.weight[1:].std() < 0.11
    assert not model.embedding.weight[0].any()


def test_forget_gates_of_an_lstm_start_open_in_every_layer_and_direction() -> None:
    config = ModelConfig(num_layers=2, bidirectional=True, hidden_size=5)
    rnn = build_model(config, vocabulary_size=9, num_classes=2, seed=0).body.encoder.rnn
    biases = [bias for name, bias in rnn.named_parameters() if name.startswith("bias_ih")]
    assert len(biases) == 4
    for bias in biases:
        assert (bias[5:10] == 1.0).all()
        assert not (bias[:5] == 1.0).any()


def test_embedding_dropout_drops_whole_dimensions_of_a_text_while_training() -> None:
    model = make_model(embedding_dropout=0.5, embedding_dim=64)
    thinned = model.body._with_input_dropout(torch.ones(3, 7, 64))
    assert set(thinned.unique().tolist()) == {0.0, 2.0}
    assert (thinned == thinned[:, :1]).all()
    assert not (thinned[0] == thinned[1]).all()
    assert 0.3 < (thinned == 0).float().mean() < 0.7


def test_token_dropout_blanks_whole_positions_while_training() -> None:
    model = make_model(token_dropout=0.25, embedding_dim=4)
    thinned = model.body._with_input_dropout(torch.ones(20, 50, 4))
    assert set(thinned.unique().tolist()) == {0.0, 1.0}
    assert (thinned == thinned[:, :, :1]).all()
    assert not (thinned[0] == thinned[1]).all()
    assert 0.15 < (thinned == 0).float().mean() < 0.35


@pytest.mark.parametrize("key", ["embedding_dropout", "token_dropout", "head_dropout"])
def test_dropout_acts_only_while_training(key: str) -> None:
    model = make_model(**{key: 0.5}, hidden_size=32, embedding_dim=32)
    # Two masks of so few tokens may be the same.
    first, *others = (model(TOKEN_IDS, LENGTHS) for _ in range(8))
    assert not all(torch.equal(first, other) for other in others)
    model.eval()
    plain = make_model(hidden_size=32, embedding_dim=32)
    assert torch.equal(model(TOKEN_IDS, LENGTHS), plain(TOKEN_IDS, LENGTHS))
