import math
from typing import Any

import pytest

from rnnlane.training.clipping import ClipChoice
from rnnlane.training.state import TrainState
from rnnlane.training.step_result import StepResult


def result(**changes: Any) -> StepResult:
    plain = {
        "loss": 0.5,
        "correct": 6.0,
        "save": False,
        "num_tokens": 80.0,
        "num_positions": 100.0,
        "norm": 1.0,
        "skipped": False,
        "num_rows": 10,
        "seconds": {"data": 0.1, "optimizer": 0.2},
    }
    plain |= changes
    return StepResult(**{"loss_weight": float(plain["num_rows"]), **plain})


def state_after(*results: StepResult, max_norm: float | None = 2.0) -> TrainState:
    state = TrainState(clip=ClipChoice(max_norm, "", {"mean": 4.0}))
    for each in results:
        state.add_step(each, elapsed_s=0.5)
    return state


def test_means_are_over_rows_not_over_steps():
    state = state_after(result(), result(loss=2.0, correct=1.0, num_rows=2))
    record = state.epoch_record(num_rows=12, rate=0.1)
    assert record["train/loss"] == pytest.approx((0.5 * 10 + 2.0 * 2) / 12)
    assert record["train/accuracy"] == pytest.approx(7 / 12)
    assert record["throughput/rows_per_s"] == 12.0
    assert record["throughput/tokens_per_s"] == 160.0
    assert record["throughput/padding_share"] == pytest.approx(0.2)
    assert record["time/epoch_s"] == 1.0
    assert record["time/data_s"] == pytest.approx(0.2)
    assert record["learning_rate"] == 0.1


def test_the_loss_is_a_mean_over_the_weights_of_rows_and_accuracy_over_rows():
    state = state_after(result(loss_weight=30.0), result(loss=2.0, correct=1.0, loss_weight=10.0))
    record = state.epoch_record(num_rows=20, rate=0.1)
    assert record["train/loss"] == pytest.approx((0.5 * 30 + 2.0 * 10) / 40)
    assert record["train/accuracy"] == pytest.approx(7 / 20)


def test_steps_that_are_not_finite_count_but_do_not_enter_the_mean():
    broken = result(loss=math.nan, norm=math.nan, skipped=True)
    state = state_after(result(norm=3.0), broken, broken)
    assert state.nonfinite_in_a_row == 2
    record = state.epoch_record(num_rows=30, rate=0.1)
    assert record["train/loss"] == 0.5
    assert record["grad_norm/nonfinite_steps"] == 2
    assert record["grad_norm/mean"] == 3.0
    assert record["grad_norm/clipped_fraction"] == pytest.approx(1 / 3)
    state.add_step(result(), elapsed_s=0.5)
    assert state.nonfinite_in_a_row == 0


def test_without_a_finite_step_the_loss_is_not_a_number():
    broken = result(loss=math.inf, norm=math.inf, skipped=True)
    record = state_after(broken).epoch_record(num_rows=10, rate=0.1)
    assert math.isnan(record["train/loss"])
    assert "grad_norm/mean" not in record


def test_the_calibration_is_in_the_record_of_the_first_epoch_only():
    state = state_after(result())
    first = state.epoch_record(num_rows=10, rate=0.1)
    assert (first["clip/max_norm"], first["clip/calibration_norm_mean"]) == (2.0, 4.0)
    state.end_epoch(first)
    state.add_step(result(), elapsed_s=0.5)
    second = state.epoch_record(num_rows=10, rate=0.1)
    assert second["clip/max_norm"] == 2.0
    assert "clip/calibration_norm_mean" not in second


def test_an_unclipped_run_has_no_clip_value():
    record = state_after(result(norm=99.0), max_norm=None).epoch_record(num_rows=10, rate=0.1)
    assert "clip/max_norm" not in record
    assert record["grad_norm/clipped_fraction"] == 0


def test_a_new_epoch_starts_from_nothing_and_keeps_the_run():
    state = state_after(result(norm=3.0), result(skipped=True))
    record = state.epoch_record(num_rows=20, rate=0.1)
    state.end_epoch(record)
    kept = TrainState(
        epoch=2,
        clip=state.clip,
        history=[record],
        norms=[3.0, 1.0],
        losses=[0.5, 0.5],
        nonfinite_in_a_row=1,
    )
    assert state == kept
