import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.training.schedule import best_epoch, learning_rate, should_stop
from support.tiny import tiny_experiment

LOSSES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=12)


def rates(config, steps=10):
    return [
        learning_rate(config.training, step=step, num_steps=steps, history=[])
        for step in range(steps)
    ]


def test_a_constant_rate_stays():
    assert set(rates(tiny_experiment())) == {0.01}


def test_warm_up_rises_to_the_first_rate():
    config = tiny_experiment("training.schedule.warmup_steps=4")
    assert rates(config)[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])


def test_cosine_falls_to_its_final_factor():
    config = tiny_experiment("training.schedule={kind: cosine, final_factor: 0.1}")
    found = rates(config, 100)
    assert found[0] == 0.01
    assert found[50] == pytest.approx(0.0055)
    assert found[-1] == pytest.approx(0.001, rel=0.01)
    assert found == sorted(found, reverse=True)


@given(LOSSES, st.integers(0, 3))
def test_plateau_agrees_with_torch(losses, patience):
    config = tiny_experiment(
        "training.metric=val/loss",
        f"training.schedule={{kind: plateau, factor: 0.5, patience: {patience}}}",
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.01)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=0.0, eps=0.0
    )
    history = []
    for loss in losses:
        reference.step(loss)
        history.append({"val/loss": loss})
        rate = learning_rate(config.training, step=9, num_steps=99, history=history)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])


def test_the_first_of_equal_epochs_is_the_best():
    history = [{"val/accuracy": value} for value in (0.5, 0.7, 0.7, 0.6)]
    assert best_epoch("val/accuracy", history) == 1
    history = [{"val/loss": value} for value in (0.5, 0.7, 0.5, 0.6)]
    assert best_epoch("val/loss", history) == 0


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy"])
def test_any_value_beats_nan(metric):
    history = [{metric: value} for value in (float("nan"), 0.5, float("nan"))]
    assert best_epoch(metric, history) == 1


def test_stopping_waits_for_its_patience():
    config = tiny_experiment("training.early_stopping=2").training
    history = [{"val/accuracy": value} for value in (0.5, 0.7, 0.7)]
    assert not should_stop(config, history)
    assert should_stop(config, [*history, {"val/accuracy": 0.6}])
    assert not should_stop(tiny_experiment().training, [*history, {"val/accuracy": 0.6}])
