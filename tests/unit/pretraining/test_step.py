import math

import numpy as np
import pytest
import torch

from rnnlane.pretraining.corpus import read_corpora
from rnnlane.pretraining.feed import LanguageFeed
from rnnlane.pretraining.language_model import build_language_model
from rnnlane.pretraining.softmax import full_losses, sampled_losses
from rnnlane.pretraining.step import LanguageStepper
from rnnlane.training.group import WorkerGroup
from rnnlane.training.step import build_optimizer
from support.language import language_data, language_experiment
from support.runs import ALONE

DATA = language_data()
with read_corpora(DATA) as (CORPUS, _):
    pass
COUNTS = [*DATA.token_counts, CORPUS.num_texts]
PLAIN = (
    "pretraining.dropout=0",
    "pretraining.embedding_dropout=0",
    "pretraining.optimizer=sgd",
    "pretraining.max_norm=null",
    "pretraining.num_sampled=6",
)


def feed_of(config, group=ALONE):
    return LanguageFeed(
        CORPUS, config.pretraining, counts=COUNTS, seed=0, num_directions=2, group=group
    )


def reference_loss(model, feed, step):
    """Of the second step of an epoch, from the tokens themselves, in one graph a direction."""
    losses, num_tokens = torch.zeros(()), 0
    ids = step.ids
    for number, direction in enumerate(model.directions):
        state = torch.zeros_like(model.carried(direction))
        pieces = list(feed.streams(1)[number].pieces(7))[:2]
        for piece in pieces:
            inputs, targets = (torch.from_numpy(part.astype(np.int64)) for part in piece)
            features, state = model.read(direction, model.embedding.weight[inputs], state)
        targets = targets.t().flatten()
        real = targets > 0
        samples = step.pieces[number].samples
        if samples is None:
            found = full_losses(features, model.embedding.weight, model.bias, targets)
        else:
            logs = torch.from_numpy(feed.sampler.log_probabilities) + math.log(feed.num_sampled)
            found = sampled_losses(
                features[real],
                targets[real],
                ids[samples],
                rows=model.embedding.weight,
                bias=model.bias,
                log_expected=logs,
            )
        losses = losses + found.sum()
        num_tokens += int(real.sum())
    return losses / num_tokens


@pytest.mark.parametrize("softmax", ["full", "sampled"])
def test_a_step_is_gradient_descent_on_the_loss_of_its_tokens_with_the_state_carried(softmax):
    config = language_experiment(*PLAIN, f"pretraining.softmax={softmax}")
    model = build_language_model(config, COUNTS, seed=1)
    feed = feed_of(config)
    optimizer = build_optimizer(model, config.training)
    stepper = LanguageStepper(model, optimizer, config.training, feed=feed, group=ALONE)
    first, second, *_ = feed.steps(1)
    stepper(first, max_norm=None, rate=0.0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    loss = reference_loss(model, feed, second)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    result = stepper(second, max_norm=None, rate=0.5).result()
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    assert result.num_tokens == second.num_tokens == result.loss_weight
    for (name, value), gradient in zip(model.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(value, before[name] - 0.5 * gradient, atol=1e-6, rtol=1e-4)
    assert not model.embedding.weight[0].any()


def test_workers_share_streams_tokens_and_samples():
    config = language_experiment(*PLAIN, "pretraining.softmax=sampled")
    alone = list(feed_of(config).steps(1))
    shares = [list(feed_of(config, WorkerGroup(rank, 2, ALONE.device)).steps(1)) for rank in (0, 1)]
    for whole, one, other in zip(alone, *shares, strict=True):
        for number, piece in enumerate(whole.pieces):
            own = [part.pieces[number] for part in (one, other)]
            assert torch.equal(piece.inputs[0::2], own[0].inputs)
            assert torch.equal(piece.inputs[1::2], own[1].inputs)
            assert all(torch.equal(piece.samples, part.samples) for part in own)
            assert sum(part.weights.sum() for part in own) == piece.weights.sum()
        assert torch.equal(whole.ids, one.ids)
        assert whole.num_tokens == one.num_tokens == other.num_tokens
    assert sum(step.num_tokens for step in alone) == 2 * CORPUS.num_tokens
    assert len(alone) == feed_of(config).num_steps
