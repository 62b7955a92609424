"""A step is launched without waiting for the device, and looked at later; nothing else changes."""

import contextlib
from itertools import islice

import numpy as np
import pytest
import torch

from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.training import epoch
from rnnlane.training import step as step_module
from rnnlane.training.group import WorkerGroup
from rnnlane.training.step import Stepper, build_optimizer
from rnnlane.training.step_result import LaunchedStep
from support.events import Remembered
from support.runs import ALONE, timeless, tiny_feed, trained
from support.tiny import VOCABULARY_SIZE, tiny_experiment


class _Idle(torch.optim.Optimizer):
    """torch's fused kernels are not there for tensors without values."""

    def __init__(self, model: RecurrentClassifier):
        super().__init__(model.parameters(), {"lr": 1.0})

    def step(self, closure=None):
        pass


@pytest.mark.parametrize(("cell", "pooling"), [("rnn", "last"), ("lstm", "mean"), ("gru", "max")])
def test_a_step_asks_the_device_for_nothing(monkeypatch, cell, pooling):
    """On the device ``meta`` tensors have no values: whoever asks for one fails."""
    group = WorkerGroup(0, 1, torch.device("meta"))
    monkeypatch.setattr(step_module, "LaunchedStep", lambda values, marks, **_: values)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    config = tiny_experiment(
        f"model.cell={cell}",
        f"model.pooling={pooling}",
        "model.num_layers=2",
        "model.bidirectional=true",
        "model.token_dropout=0.2",
    )
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    model = model.to(group.device)
    stepper = Stepper(model, _Idle(model), config.training, group=group)
    feed = tiny_feed(config, group=group)
    batches = islice(feed.steps(1), 2)
    launched = [stepper(batch, max_norm=1.0, rate=0.1) for batch in batches]
    assert [each.shape for each in launched] == [(7,)] * 2
    with pytest.raises((NotImplementedError, RuntimeError)):
        LaunchedStep(launched[0], [], num_rows=1, data_s=0.0)


@pytest.mark.parametrize("num_steps", [1, 4, 1000])
def test_looking_later_changes_nothing(monkeypatch, tmp_path, num_steps):
    overrides = (
        "training.epochs=3",
        "training.schedule.kind=cosine",
        "model.head_dropout=0.3",
        "training.checkpoint_every_s=1e-9",
    )
    at_once = trained(*overrides)

    monkeypatch.setattr(epoch, "default_limit", lambda device: num_steps)
    events = Remembered(tmp_path)
    outcome = trained(*overrides, events=events)
    assert timeless(outcome.history) == timeless(at_once.history)
    np.testing.assert_array_equal(outcome.norms, at_once.norms)
    for name, tensor in at_once.weights.items():
        torch.testing.assert_close(outcome.weights[name], tensor, atol=0, rtol=0)
    # 9 steps an epoch: one checkpoint each time all that is in flight has landed.
    assert len(events.checkpoints) == {1: 4 * 3 + 3, 4: 3 + 3, 1000: 3}[num_steps]
    for checkpoint in events.checkpoints[:-1]:
        resumed = trained(*overrides, start=checkpoint)
        assert timeless(resumed.history) == timeless(at_once.history)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_step_left_out_leaves_no_trace_in_the_optimizer(optimizer):
    config = tiny_experiment(f"training.optimizer={optimizer}", "training.momentum=0.9")

    def weights(first_is_broken: bool) -> dict[str, torch.Tensor]:
        model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
        stepper = Stepper(
            model, build_optimizer(model, config.training), config.training, group=ALONE
        )
        feed = tiny_feed(config)
        if first_is_broken:
            broken = next(feed.steps(1))
            broken.shards[0].inputs.loss_weights.mul_(torch.inf)
            assert stepper(broken, max_norm=1.0, rate=0.1).result().skipped
        for batch in feed.steps(1):
            assert not stepper(batch, max_norm=1.0, rate=0.1).result().skipped
        return model.state_dict()

    whole = weights(first_is_broken=False)
    for name, tensor in weights(first_is_broken=True).items():
        torch.testing.assert_close(tensor, whole[name], atol=0, rtol=0)
