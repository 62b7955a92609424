"""The second loss of texts that are changed to mislead the model."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnlane.config.training import AdversarialConfig
from rnnlane.training.adversary import TRIED, Adversary, embedding_scale
from rnnlane.training.feed import TrainFeed
from rnnlane.training.step import Stepper, build_optimizer
from support.events import Remembered
from support.one_step import SGD, first_model, weights_after_one_step
from support.runs import ALONE, assert_same_run, tiny_feed, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment
from support.workers import in_worker_group

KINDS = ("virtual", "plain")
EPSILON = 3.0


def settings(kind, *, epsilon=EPSILON, weight=1.0):
    section = f"{{kind: {kind}, epsilon: {epsilon}, weight: {weight}}}"
    return f"training.adversarial={section}"


def first_inputs(*overrides):
    """The model before its first step, and the rows of that step."""
    config = tiny_experiment(*overrides)
    (shard,) = next(tiny_feed(config).steps(1)).shards
    return first_model(config, tiny_data()), shard.inputs


def embedded_rows(model, inputs):
    return model.embedding(inputs.ids[inputs.positions]).detach().requires_grad_()


class Recorded(nn.Module):
    """A body that remembers what it was asked."""

    def __init__(self, body):
        super().__init__()
        self.body, self.asked = body, []

    def forward(self, embedded, lengths):
        self.asked.append((embedded.detach(), self.training))
        return self.body(embedded, lengths)


def cross_entropy(logits, inputs):
    return functional.cross_entropy(logits, inputs.labels)


def changes(kind, epsilon=EPSILON):
    """Of each row, the change at which the second loss is taken; and model, inputs, scale."""
    model, inputs = first_inputs()
    embedded = embedded_rows(model, inputs)
    body = Recorded(model.body)
    loss = cross_entropy(model.body(embedded, inputs.lengths), inputs)
    (slope,) = torch.autograd.grad(loss, embedded)
    scale = embedding_scale(model.embedding.weight[inputs.ids], inputs.ids)
    config = AdversarialConfig(kind=kind, epsilon=epsilon)
    adversary = Adversary(body, config, cross_entropy)
    torch.manual_seed(0)
    adversary.loss(embedded, inputs, slope=slope, scale=scale)
    return body.asked[-1][0] - embedded.detach(), model, inputs, scale


@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_changed_by_the_length_asked_for_and_never_in_its_padding(kind):
    change, model, inputs, scale = changes(kind)
    words = model.embedding.weight[inputs.ids[inputs.ids > 0]]
    assert float(scale) == pytest.approx(float(words.detach().square().mean().sqrt()), rel=1e-6)
    lengths = change.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, EPSILON) * scale)
    columns = torch.arange(change.shape[1])
    is_padding = columns >= inputs.lengths.unsqueeze(1)
    assert is_padding.any()
    assert (change[is_padding] == 0).all()


def test_padding_among_the_words_does_not_change_the_scale():
    model, inputs = first_inputs()
    padded = torch.cat([inputs.ids, torch.zeros(50, dtype=torch.int64)])
    scales = [embedding_scale(model.embedding.weight[ids], ids) for ids in (inputs.ids, padded)]
    torch.testing.assert_close(*scales)


def test_the_plain_change_is_along_the_slope_of_the_loss():
    change, model, inputs, _ = changes("plain")
    embedded = embedded_rows(model, inputs)
    cross_entropy(model.body(embedded, inputs.lengths), inputs).backward()
    along = functional.cosine_similarity(change.flatten(1), embedded.grad.flatten(1))
    torch.testing.assert_close(along, torch.ones_like(along))


class Curved(nn.Module):
    """Logits of which all derivatives are known well: in float64, without recurrence."""

    def __init__(self):
        super().__init__()
        self.weight = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 3)))

    def forward(self, embedded, lengths):
        return torch.tanh(embedded.double().flatten(1) @ self.weight)


def test_the_virtual_direction_agrees_with_finite_differences(monkeypatch):
    """Of the divergence by the text, at the change that is tried."""
    monkeypatch.setattr(torch.Tensor, "float", lambda tensor: tensor)
    _, inputs = first_inputs()
    inputs = inputs._replace(lengths=torch.tensor([4, 2]))
    embedded = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 4, 3)))
    monkeypatch.setattr(torch, "randn_like", lambda like, **_: torch.cos(like))
    body = Recorded(Curved())
    adversary = Adversary(body, AdversarialConfig(), cross_entropy)
    answers, slope = adversary._direction(embedded, inputs, torch.tensor(TRIED))
    tried = body.asked[-1][0]
    torch.testing.assert_close(
        (tried - embedded).flatten(1).norm(dim=1), torch.full((2,), TRIED).double()
    )
    assert ((tried - embedded)[1, 2:] == 0).all(), "its padding"

    def divergence(texts):
        changed = body(texts, inputs.lengths).log_softmax(1)
        return (answers.exp() * (answers - changed)).sum()

    step = 1e-6
    for place in itertools.product(range(2), range(4), range(3)):
        moved = torch.zeros_like(embedded)
        moved[place] = step
        found = (divergence(tried + moved) - divergence(tried - moved)) / (2 * step)
        assert float(slope[place]) == pytest.approx(float(found), rel=1e-6, abs=1e-10)


def test_the_answers_that_are_kept_are_those_without_dropout():
    model, inputs = first_inputs("model.head_dropout=0.5")
    body = Recorded(model.body.train())
    adversary = Adversary(body, AdversarialConfig(), cross_entropy)
    embedded = embedded_rows(model, inputs)
    adversary.loss(embedded, inputs, slope=torch.zeros(()), scale=torch.tensor(0.1))
    assert [is_training for _, is_training in body.asked] == [False, False, True]


def test_a_plain_step_is_that_of_both_losses_together():
    """The textbook way: autograd through the model, twice."""
    weights, loss, _, _ = weights_after_one_step(ALONE, (*SGD, settings("plain", weight=0.7)))
    model, inputs = first_inputs(*SGD)
    change, *_ = changes("plain")

    def loss_of(moved):
        embedded = model.embedding(inputs.ids[inputs.positions]) + moved
        return cross_entropy(model.body(embedded, inputs.lengths), inputs)

    clean = loss_of(torch.zeros(()))
    (clean + 0.7 * loss_of(change)).backward()
    assert loss == pytest.approx(clean.item(), abs=1e-6), "train/loss is that of the texts"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            expected = parameter - parameter.grad
            np.testing.assert_allclose(weights[name], expected, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_the_body_alone(kind):
    ngrams = (*SGD, "model.ngrams={bits: 8, dropout: 0}")
    before, *_ = weights_after_one_step(ALONE, ngrams)
    after, *_ = weights_after_one_step(ALONE, (*ngrams, settings(kind)))
    assert (before["body.head.weight"] != after["body.head.weight"]).any()
    assert (before["embedding.weight"] != after["embedding.weight"]).any()
    np.testing.assert_array_equal(before["ngrams.weight"], after["ngrams.weight"])


def steps_of_both_kinds(group):
    shards = "training.reduction_shards=4"
    return {
        "plain": weights_after_one_step(group, (*SGD, settings("plain")))[0],
        **{
            f"{kind} in shards": weights_after_one_step(group, (*SGD, settings(kind), shards))[0]
            for kind in KINDS
        },
    }


@pytest.mark.parametrize("world_size", [2, 3])
def test_a_step_is_the_same_on_any_number_of_workers(world_size):
    expected = steps_of_both_kinds(ALONE)
    for found in in_worker_group(world_size, steps_of_both_kinds):
        for key, weights in expected.items():
            for name, value in weights.items():
                atol = 0 if "shards" in key else 2e-6
                np.testing.assert_allclose(found[key][name], value, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_bit_identical(tmp_path, kind):
    overrides = (settings(kind), "training.checkpoint_every_s=1e-9", "training.clip.policy=auto")
    events = Remembered(tmp_path)
    whole = trained(*overrides, events=events)
    for number in (1, 11):
        resumed = trained(*overrides, start=events.checkpoints[number])
        assert_same_run(resumed, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_layers_stay(kind):
    overrides = (*SGD, settings(kind), "training.gradual_unfreezing=true", "training.epochs=3")
    weights, *_ = weights_after_one_step(ALONE, overrides)
    before = first_model(tiny_experiment(*overrides), tiny_data()).state_dict()
    changed = {name for name, value in before.items() if (weights[name] != value.numpy()).any()}
    assert changed == {"body.head.weight", "body.head.bias"}


def test_trained_with_it_a_model_is_misled_less():
    def misled(*overrides):
        """How much the worst change of this length changes the answers of the trained model."""
        config, data = tiny_experiment(*overrides), tiny_data()
        model = first_model(config, data)
        stepper = Stepper(
            model, build_optimizer(model, config.training), config.training, group=ALONE
        )
        feed = TrainFeed(
            data.splits["train"],
            config.training,
            seed=0,
            vocabulary_size=VOCABULARY_SIZE,
            group=ALONE,
        )
        for epoch in range(1, 4):
            for batch in feed.steps(epoch):
                stepper(batch, max_norm=1.0, rate=0.03).result()
        adversary = Adversary(model.body, AdversarialConfig(epsilon=EPSILON), cross_entropy)
        (shard,) = next(feed.steps(1)).shards
        embedded = embedded_rows(model, shard.inputs)
        torch.manual_seed(1)
        unit = torch.tensor(0.1)
        return adversary.loss(embedded, shard.inputs, slope=embedded, scale=unit).item()

    assert misled(settings("virtual", weight=3.0)) < 0.7 * misled()
