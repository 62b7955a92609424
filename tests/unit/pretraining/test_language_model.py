import math

import numpy as np
import pytest
import torch

from rnnlane.pretraining.corpus import Corpus
from rnnlane.pretraining.language_model import build_language_model, log_shares
from rnnlane.pretraining.perplexity import held_out_metrics
from rnnlane.pretraining.streams import Streams
from support.language import language_data, language_experiment
from support.runs import ALONE
from support.tiny import VOCABULARY_SIZE

COUNTS = [*language_data().token_counts, 110]


def model_of(*overrides):
    config = language_experiment(
        "pretraining.dropout=0", "pretraining.embedding_dropout=0", *overrides
    )
    return build_language_model(config, COUNTS, seed=3)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_pieces_with_carried_state_equal_one_long_pass(cell):
    model = model_of(f"model.cell={cell}", "model.num_layers=2")
    embedded = torch.randn(3, 11, 6)
    zero = model.carried("forward")[:, :, :3]
    whole, end = model.read("forward", embedded, zero)
    parts, state = [], zero
    for piece in embedded.split([4, 1, 6], dim=1):
        features, state = model.read("forward", piece, state)
        parts.append(features)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_reader_is_torchs_module_and_a_carried_state_has_no_gradient(cell):
    model = model_of(f"model.cell={cell}", "model.num_layers=2")
    reader, embedded = model.readers[1], torch.randn(4, 3, 6)
    state = torch.randn(2, 2 if cell == "lstm" else 1, 3, 5, requires_grad=True)
    features, _ = reader(embedded, state.detach())
    given = tuple(state.unbind(dim=1))
    outputs, _ = reader.rnn(embedded, given if cell == "lstm" else given[0].contiguous())
    expected = reader.projection(outputs)
    torch.testing.assert_close(features, expected)
    parameters = [*reader.parameters()]
    for found, wanted in zip(
        torch.autograd.grad(features.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


def test_perplexity_is_that_of_a_naive_loop():
    model = model_of().eval()
    corpus = Corpus(np.array([2, 3, 4, 5, 7], np.int32), np.array([0, 3]), np.array([3, 2]))
    metrics = held_out_metrics(model, corpus, group=ALONE, num_streams=1)
    losses = {}
    for direction in model.directions:
        texts = Streams(
            corpus,
            1,
            order=np.arange(2),
            separator=VOCABULARY_SIZE,
            backward=direction == "backward",
        )
        ((_, tokens),) = texts.pieces(7)
        state = model.carried(direction)[:, :, :1]
        total, last = 0.0, VOCABULARY_SIZE
        for token in tokens[0].tolist():
            embedded = model.embedding.weight[last].view(1, 1, -1)
            features, state = model.read(direction, embedded, state)
            scores = features[0] @ model.embedding.weight.t() + model.bias
            total -= float(scores.detach().log_softmax(dim=0)[token])
            last = token
        losses[direction] = total / 7
    assert metrics["val/perplexity"] == pytest.approx(math.exp(losses["forward"]), rel=1e-5)
    assert metrics["val/perplexity_backward"] == pytest.approx(
        math.exp(losses["backward"]), rel=1e-5
    )
    assert metrics["val/loss"] == pytest.approx(sum(losses.values()) / 2, rel=1e-5)


def test_a_model_that_has_learned_nothing_knows_how_frequent_tokens_are():
    model = model_of().eval()
    torch.nn.init.zeros_(model.embedding.weight)
    corpus = Corpus(np.array([2, 2, 5], np.int32), np.array([0]), np.array([3]))
    shares = np.exp(log_shares(COUNTS))
    expected = -np.log(shares[[2, 2, 5, VOCABULARY_SIZE]]).mean()
    found = held_out_metrics(model, corpus, group=ALONE)["val/perplexity"]
    assert found == pytest.approx(math.exp(expected), rel=1e-5)
    assert shares.sum() == pytest.approx(1.0)
