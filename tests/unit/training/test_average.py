import math
from functools import partial

import pytest
import torch

from rnnlane.models.classifier import build_model
from rnnlane.training import loop
from rnnlane.training.average import WeightAverage
from rnnlane.training.checkpoint import AVERAGE, BEST, WEIGHTS, copied_weights, load_file
from rnnlane.training.graphs import Graphs
from rnnlane.training.metrics import score, summarize
from rnnlane.training.step import Stepper, build_optimizer
from support.events import Remembered
from support.graphs import PretendedCapture
from support.runs import ALONE, timeless, tiny_feed, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment

EMA = ("training.ema=0.4", "model.head_dropout=0.2")
EVERY_STEP = "training.checkpoint_every_s=1e-9"


def new_model(*overrides):
    config = tiny_experiment(*overrides)
    return build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)


@pytest.mark.parametrize("is_static", [False, True])
def test_the_average_is_that_of_a_plain_loop_over_the_weights_of_each_step(is_static):
    config = tiny_experiment(*EMA)
    model = new_model()
    average = WeightAverage(model, 0.4)
    stepper = Stepper(
        model,
        build_optimizer(model, config.training),
        config.training,
        group=ALONE,
        average=average,
        is_static=is_static,
    )
    expected = {name: tensor.double() for name, tensor in copied_weights(model).items()}
    decays = []
    for number, batch in enumerate(tiny_feed(config).steps(1), start=1):
        stepper(batch, max_norm=1.0, rate=0.01)
        decays.append(min(0.4, (1 + number) / (10 + number)))
        for name, tensor in model.state_dict().items():
            expected[name] = decays[-1] * expected[name] + (1 - decays[-1]) * tensor.double()
    # Both the warm-up and the decay itself have had their steps.
    assert decays[0] == 2 / 11
    assert decays.count(0.4) > 1
    assert average.num_updates == len(decays)
    for name, tensor in average.model.state_dict().items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-6, rtol=1e-6)
        assert not torch.equal(tensor, model.state_dict()[name])


@pytest.mark.parametrize("is_static", [False, True])
def test_a_step_that_is_not_finite_leaves_the_average_alone(is_static):
    config, model = tiny_experiment(*EMA), new_model()
    average = WeightAverage(model, 0.4)
    stepper = Stepper(
        model,
        build_optimizer(model, config.training),
        config.training,
        group=ALONE,
        average=average,
        is_static=is_static,
    )
    first, second, *_ = tiny_feed(config).steps(1)
    stepper(first, max_norm=None, rate=0.01)
    before = copied_weights(average.model)
    second.shards[0].inputs.loss_weights.fill_(math.nan)
    assert stepper(second, max_norm=None, rate=0.01).result().skipped
    assert average.num_updates == 1
    for name, tensor in average.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_averaging_changes_nothing_in_training_but_what_is_served(tmp_path):
    events = Remembered(tmp_path)
    plain, averaged = trained(EMA[1]), trained(*EMA, events=events)
    for one, other in zip(plain.history, averaged.history, strict=True):
        assert one["train/loss"] == other["train/loss"]
        assert one["grad_norm/mean"] == other["grad_norm/mean"]
        assert one["val/loss"] != other["val/loss"]
    last = events.checkpoints[-1]
    model, data = new_model().eval(), tiny_data()
    model.load_state_dict(averaged.weights)
    best = averaged.history[averaged.best_epoch - 1]
    for split in ("val", "test"):
        summary = summarize(score(model, data.splits[split], group=ALONE), num_classes=2)
        assert {f"{split}/{key}": value for key, value in summary.items()}.items() <= best.items()
    raw, average = load_file(last / WEIGHTS), load_file(last / AVERAGE)
    assert float(average.pop("num_updates")) == len(averaged.norms)
    assert raw.keys() == average.keys() == load_file(last / BEST).keys()
    assert not torch.equal(raw["embedding.weight"], average["embedding.weight"])
    if averaged.best_epoch == len(averaged.history):
        assert all(torch.equal(average[name], averaged.weights[name]) for name in average)


def test_a_run_with_an_average_goes_on_bit_identical_from_any_checkpoint(tmp_path):
    overrides = (*EMA, EVERY_STEP, "training.clip.policy=auto", "training.label_smoothing=0.1")
    events = Remembered(tmp_path)
    whole = trained(*overrides, events=events)
    for number in (0, 4, 12):
        rest = Remembered(tmp_path / f"from-{number}")
        resumed = trained(*overrides, events=rest, start=events.checkpoints[number])
        assert timeless(resumed.history) == timeless(whole.history)
        for name, tensor in whole.weights.items():
            assert torch.equal(tensor, resumed.weights[name])
        for file in (WEIGHTS, AVERAGE):
            one, other = (load_file(e.checkpoints[-1] / file) for e in (events, rest))
            assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_graphs_of_a_step_average_as_the_step_does(monkeypatch):
    overrides = (*EMA, "training.learning_rate=0.0078125")
    plain = trained(*overrides)
    capture = PretendedCapture()
    monkeypatch.setattr(loop, "graphs_for", lambda *_: Graphs(capture, Remembered()))
    monkeypatch.setattr(loop, "Stepper", partial(Stepper, is_static=True))
    graphs = trained(*overrides)
    assert capture.num_captured > 0
    assert timeless(plain.history) == timeless(graphs.history)
    assert all(torch.equal(tensor, graphs.weights[name]) for name, tensor in plain.weights.items())
