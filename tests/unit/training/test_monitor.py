from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from rnnlane.errors import TrainingError
from rnnlane.training import monitor
from rnnlane.training.clipping import ClipChoice
from rnnlane.training.monitor import EpochMonitor
from rnnlane.training.state import TrainState
from rnnlane.training.step_result import LaunchedStep
from support.events import Remembered
from support.tiny import tiny_experiment

VALUES = torch.tensor([0.5, 6.0, 0.0, 80.0, 100.0, 1.0, 0.0])
RESULT = LaunchedStep(VALUES, [0.0, 0.0, 0.0, 0.0], num_rows=12, data_s=0.0).result()
BROKEN = replace(RESULT, skipped=True)


def monitored(*overrides: str) -> tuple[EpochMonitor, TrainState, Remembered]:
    state, events = TrainState(clip=ClipChoice(None, "", {})), Remembered()
    training = tiny_experiment(*overrides).training
    return (
        EpochMonitor(state, training, num_epochs=training.epochs, num_steps=4, events=events),
        state,
        events,
    )


def test_the_time_between_calls_is_training_time_unless_the_clock_is_restarted(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(monitor, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    epoch, state, _ = monitored()
    now[0] += 0.25
    epoch.add([RESULT, RESULT])
    assert state.elapsed_s == 0.25
    now[0] += 7.0
    epoch.restart_clock()
    now[0] += 0.5
    epoch.add([RESULT])
    assert state.elapsed_s == 0.75
    assert state.step == 3


def test_progress_is_reported_now_and_then(monkeypatch):
    epoch, _, events = monitored("training.epochs=3")
    epoch.add([RESULT])
    assert events.reported == []
    monkeypatch.setattr(monitor, "PROGRESS_EVERY_S", 0.0)
    epoch.add([RESULT, RESULT])
    assert [progress.done for progress in events.reported] == [2, 3]
    last = events.reported[-1]
    assert (last.stage, last.total, last.epoch, last.num_epochs) == ("epoch 1/3", 4, 1, 3)
    assert (last.loss, last.accuracy) == (0.5, 0.5)
    assert last.left_s == pytest.approx(9 * 36 / last.rows_per_s / 3)


def test_a_run_fails_at_the_last_non_finite_step_allowed():
    epoch, state, _ = monitored("training.max_nonfinite_steps=2")
    epoch.add([BROKEN, RESULT, BROKEN])
    with pytest.raises(TrainingError, match="2 steps in a row") as error:
        epoch.add([BROKEN, RESULT])
    assert error.value.where == "epoch 1, step 4"
    assert state.step == 4
