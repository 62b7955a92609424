"""The gradient of a step is that of the global batch, whatever the number of workers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rnnlane.data.batches.plan import plan
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models.classifier import build_model
from rnnlane.training.loop import cpu_settings
from rnnlane.training.step import Stepper, build_optimizer
from support.one_step import SGD, plain_gradient_step, weights_after_one_step
from support.runs import ALONE, tiny_feed
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment
from support.workers import asked_in_turn


@pytest.mark.parametrize("step", [0, 8], ids=["full batch", "last, smaller batch"])
@pytest.mark.parametrize("class_weights", ["none", "balanced", "{odd: 7.5}"])
def test_the_gradient_is_that_of_the_plain_model(step, class_weights):
    settings = (*SGD, f"training.class_weights={class_weights}")
    expected, loss, norm = plain_gradient_step(settings, step)
    weights, its_loss, its_norm, _ = weights_after_one_step(ALONE, settings, step)
    assert its_loss == pytest.approx(loss, abs=1e-6)
    assert its_norm == pytest.approx(norm, rel=1e-5)
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6, err_msg=name)


NGRAMS = "model.ngrams={bits: 8, max_words: 2, dropout: 0.0}"


@pytest.mark.parametrize("step", [0, 8], ids=["full batch", "last, smaller batch"])
def test_the_gradient_of_ngrams_is_that_of_the_plain_model(step):
    settings = (*SGD, NGRAMS, "training.class_weights=balanced")
    expected, loss, norm = plain_gradient_step(settings, step)
    weights, its_loss, its_norm, _ = weights_after_one_step(ALONE, settings, step)
    assert its_loss == pytest.approx(loss, abs=1e-6)
    assert its_norm == pytest.approx(norm, rel=1e-5)
    assert len(np.unique(expected["ngrams.weight"])) > 9
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6, err_msg=name)


def test_the_body_learns_as_it_does_without_ngrams():
    alone, *_ = weights_after_one_step(ALONE, SGD)
    beside, *_ = weights_after_one_step(ALONE, (*SGD, NGRAMS))
    for name, tensor in alone.items():
        np.testing.assert_array_equal(beside[name], tensor, err_msg=name)


def test_clipping_scales_the_global_gradient():
    whole, _, norm, _ = weights_after_one_step(ALONE, SGD)
    config = tiny_experiment(*SGD)
    start = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    before = {name: tensor.numpy().copy() for name, tensor in start.state_dict().items()}
    optimizer = build_optimizer(start, config.training)
    stepper = Stepper(start, optimizer, config.training, group=ALONE)
    feed = tiny_feed(config)
    stepper(next(feed.steps(1)), max_norm=norm / 2, rate=1.0)
    for name, tensor in start.state_dict().items():
        halved = before[name] + (whole[name] - before[name]) / 2
        np.testing.assert_allclose(tensor.numpy(), halved, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_smoothed_loss_is_torchs_with_the_weight_of_each_rows_class(class_weights):
    settings = (*SGD, f"training.class_weights={class_weights}", "training.label_smoothing=0.3")
    _, loss, norm, _ = weights_after_one_step(ALONE, settings, 8)
    split = tiny_data().splits["train"]
    rows = plan(split.labels, split.lengths, global_batch_size=12, seed=0, epoch=1)[8]
    batch = BatchMaker(split, ALONE.device)(rows)
    config = tiny_experiment(*settings)
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    losses = functional.cross_entropy(
        model(batch.token_ids, batch.lengths), batch.labels, reduction="none", label_smoothing=0.3
    )
    by_class = torch.ones(2)
    if class_weights == "balanced":
        by_class = len(split) / (2 * torch.bincount(torch.from_numpy(split.labels)).float())
    weights = by_class[batch.labels]
    expected = (weights * losses).sum() / weights.sum()
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-6)
    found = torch.nn.utils.clip_grad_norm_(model.parameters(), torch.inf).item()
    assert norm == pytest.approx(found, rel=1e-5)
    assert loss != pytest.approx(weights_after_one_step(ALONE, settings[:-1], 8)[1], abs=1e-3)


SHARDED = ("training.reduction_shards=8", "model.token_dropout=0.2", "model.head_dropout=0.1")


@pytest.mark.parametrize(
    "model",
    [
        ("model.cell=rnn",),
        ("model.cell=lstm",),
        ("model.cell=gru",),
        ("model.cell=gru", "model.ngrams={bits: 8}"),
    ],
    ids=["rnn", "lstm", "gru", "ngrams"],
)
def test_with_shards_a_step_has_the_same_bits_for_any_number_of_workers(model):
    overrides = (*SGD, *SHARDED, *model, "model.bidirectional=true")
    with cpu_settings(ALONE):
        alone, *numbers = weights_after_one_step(ALONE, overrides)
        for world_size in (2, 3, 4, 8):
            workers, _ = asked_in_turn(
                world_size, lambda group: weights_after_one_step(group, overrides)
            )
            for weights, *its_numbers in workers:
                assert its_numbers == numbers
                for name, values in alone.items():
                    np.testing.assert_array_equal(weights[name], values, err_msg=name)


def test_the_gradient_of_shards_is_that_of_the_plain_model():
    expected, loss, norm = plain_gradient_step(SGD, 8)
    weights, its_loss, its_norm, _ = weights_after_one_step(
        ALONE, (*SGD, "training.reduction_shards=4"), 8
    )
    assert its_loss == pytest.approx(loss, abs=1e-6)
    assert its_norm == pytest.approx(norm, rel=1e-5)
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=1e-6, err_msg=name)


def test_untouched_words_follow_the_dense_rule():
    """Adam moves a word by its momentum in steps that do not hold it; a lazy rule would not."""
    config, data = tiny_experiment(), tiny_data()
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    reference = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    stepper = Stepper(model, build_optimizer(model, config.training), config.training, group=ALONE)
    dense = torch.optim.Adam(reference.parameters())
    split = data.splits["train"]
    feed = tiny_feed(config, split)
    steps = plan(split.labels, split.lengths, global_batch_size=12, seed=0, epoch=1)
    for batch, rows in zip(feed.steps(1), steps, strict=True):
        stepper(batch, max_norm=None, rate=1e-3)
        dense.zero_grad()
        plain = BatchMaker(split, ALONE.device)(rows)
        logits = reference(plain.token_ids, plain.lengths)
        functional.cross_entropy(logits, plain.labels).backward()
        dense.step()
    for name, tensor in reference.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)


def test_a_step_that_is_not_finite_leaves_the_weights_alone():
    config = tiny_experiment(*SGD)
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    optimizer = build_optimizer(model, config.training)
    stepper = Stepper(model, optimizer, config.training, group=ALONE)
    feed = tiny_feed(config)
    batch = next(feed.steps(1))
    with torch.no_grad():
        model.embedding.weight[batch.shards[0].inputs.ids[1]] = float("nan")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert stepper(batch, max_norm=1.0, rate=1.0).result().skipped
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], equal_nan=True)
