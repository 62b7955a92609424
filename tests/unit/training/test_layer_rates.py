"""Layers that learn slower than the head, and layers that begin later."""

import numpy as np
import pytest
import torch

from rnnlane.models.classifier import build_model
from rnnlane.training.layer_rates import layer_rates
from rnnlane.training.loop import cpu_settings
from rnnlane.training.step import Stepper, build_optimizer
from support.events import Remembered
from support.one_step import SGD, first_model, plain_gradient_step, weights_after_one_step
from support.runs import ALONE, timeless, tiny_feed, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment
from support.workers import asked_in_turn

GRADUAL = "training.gradual_unfreezing=true"
DECAY = "training.layer_rate_decay=0.5"
TWO_LAYERS = ("model.num_layers=2", "model.bidirectional=true", "training.epochs=4")
LAYERS = ("head", "_l1", "_l0", "embedding")


def depth_of(name: str) -> int:
    """From the top; n-grams are beside the head."""
    found = [depth for depth, layer in enumerate(LAYERS) if layer in name]
    return found[0] if found else 0


@pytest.mark.parametrize(
    ("overrides", "epoch", "expected"),
    [
        ((), 1, [1, 1, 1, 1]),
        ((DECAY,), 1, [1, 0.5, 0.25, 0.125]),
        ((GRADUAL,), 1, [1, 0, 0, 0]),
        ((GRADUAL, DECAY), 2, [1, 0.5, 0, 0]),
        ((GRADUAL, DECAY), 4, [1, 0.5, 0.25, 0.125]),
        ((GRADUAL,), 9, [1, 1, 1, 1]),
    ],
)
def test_rates_are_a_function_of_layer_and_epoch(overrides, epoch, expected):
    training = tiny_experiment(*overrides, "training.epochs=4").training
    assert layer_rates(training, num_layers=4, epoch=epoch) == expected


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_step_moves_each_layer_by_its_share_of_the_gradient(epoch):
    """And the norm is that of the layers that learn."""
    settings = (*SGD, *TWO_LAYERS, "model.ngrams={bits: 8, dropout: 0.0}")
    config = tiny_experiment(*settings)
    expected, _, _ = plain_gradient_step(settings)
    state = first_model(config, tiny_data()).state_dict()
    start = {name: tensor.numpy().copy() for name, tensor in state.items()}
    weights, _, norm, _ = weights_after_one_step(ALONE, (*settings, GRADUAL, DECAY), epoch=epoch)
    squares = 0.0
    for name, before in start.items():
        depth, gradient = depth_of(name), before - expected[name]
        share = 0.5**depth if depth < epoch else 0.0
        if name != "ngrams.ratio":
            squares += float((gradient**2).sum()) * (share > 0)
        np.testing.assert_allclose(
            weights[name], before - share * gradient, atol=1e-6, err_msg=name
        )
        if share == 0.0:
            np.testing.assert_array_equal(weights[name], before, err_msg=name)
    assert norm == pytest.approx(squares**0.5, rel=1e-4)


@pytest.mark.parametrize("epoch", [1, 3])
def test_with_shards_a_step_has_the_same_bits_for_any_number_of_workers(epoch):
    overrides = (*SGD, *TWO_LAYERS, GRADUAL, DECAY, "training.reduction_shards=4")
    with cpu_settings(ALONE):
        alone, *numbers = weights_after_one_step(ALONE, overrides, epoch=epoch)
        for world_size in (2, 3):
            workers, _ = asked_in_turn(
                world_size, lambda group: weights_after_one_step(group, overrides, epoch=epoch)
            )
            for weights, *its_numbers in workers:
                assert its_numbers == numbers
                for name, values in alone.items():
                    np.testing.assert_array_equal(weights[name], values, err_msg=name)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_what_is_frozen_is_unknown_to_the_optimizer(optimizer):
    """Adam's moments begin with the layer: else its first steps would be several times as large."""
    config = tiny_experiment(
        f"training.optimizer={optimizer}", "training.weight_decay=0.1", "training.epochs=3", GRADUAL
    )
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    build = build_optimizer(model, config.training)
    stepper = Stepper(model, build, config.training, group=ALONE)
    feed, weight = tiny_feed(config), model.body.encoder.rnn.weight_hh_l0
    before = weight.detach().clone()
    for batch in feed.steps(1):
        stepper(batch, max_norm=None, rate=0.001)
    assert torch.equal(weight, before)
    assert not build.state.get(weight)
    stepper.begin_epoch(2)
    stepper(next(feed.steps(2)), max_norm=None, rate=0.001)
    change = (weight.detach() - before).abs().max().item()
    assert 0 < change <= (0.0012 if optimizer != "sgd" else 1.0)


@pytest.mark.parametrize(
    "overrides",
    [("training.refit=true",), ("training.optimizer=sgd", "training.momentum=0.9")],
    ids=["adam, refit", "sgd"],
)
def test_a_run_goes_on_bit_identical_from_any_epoch(tmp_path, overrides):
    settings = (
        *("training.epochs=3", "training.learning_rate=0.1", "model.head_dropout=0.2"),
        *(GRADUAL, DECAY, "training.checkpoint_every_s=1e-9", *overrides),
    )
    events = Remembered(tmp_path)
    whole = trained(*settings, events=events)
    for checkpoint in events.checkpoints[2::5]:
        resumed = trained(*settings, start=checkpoint)
        for name, tensor in whole.weights.items():
            torch.testing.assert_close(resumed.weights[name], tensor, atol=0, rtol=0)
        assert timeless(resumed.history) == timeless(whole.history)
        np.testing.assert_array_equal(resumed.norms, whole.norms)


def test_the_clip_value_is_measured_on_all_layers():
    auto = "training.clip.policy=auto"
    of_all = trained("training.epochs=3", auto).clip
    assert trained("training.epochs=3", auto, GRADUAL).clip == of_all
