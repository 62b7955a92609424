from __future__ import annotations

import math
from typing import Any

from rnnlane.tracking.history import HistoryLog, is_summary, summary_of

EPOCHS = [
    {
        "epoch": 1.0,
        "train/loss": 0.9,
        "val/accuracy": 0.6,
        "clip/max_norm": 1 / 3,
        "clip/calibration_norm_mean": 12.3456789,
    },
    {"epoch": 2.0, "train/loss": 0.8, "val/accuracy": 0.7, "clip/max_norm": 1 / 3},
    {"epoch": 3.0, "train/loss": 0.7, "val/accuracy": 0.65, "clip/max_norm": 1 / 3},
]
TESTED = [EPOCHS[0], {**EPOCHS[1], "test/accuracy": 0.68}, EPOCHS[2]]


def metrics(records: list[tuple[str, dict[str, Any]]]) -> dict[int, dict[str, float]]:
    return {c["step"]: c["values"] for kind, c in records if kind == "metrics"}


def test_what_varies_is_a_metric_what_is_constant_a_param_and_the_best_is_of_the_run() -> None:
    records = list(HistoryLog().new_records(TESTED, best_epoch=2))
    assert metrics(records) == {
        1: {"train/loss": 0.9, "val/accuracy": 0.6},
        2: {"train/loss": 0.8, "val/accuracy": 0.7},
        3: {"train/loss": 0.7, "val/accuracy": 0.65},
        0: {
            "best/val/accuracy": 0.7,
            "best_epoch": 2.0,
            "test/accuracy": 0.68,
        },
    }
    assert [content for kind, content in records if kind == "params"] == [
        {"clip/max_norm": "0.333333", "clip/calibration_norm_mean": "12.3457"}
    ]
    assert all(is_summary(key) for key in metrics(records)[0])
    assert not any(is_summary(key) for step in (1, 2, 3) for key in metrics(records)[step])


def test_epochs_of_a_refit_have_metrics_and_steps_of_their_own() -> None:
    refit = [{"refit/epoch": n, "refit/train/loss": 0.5 / n} for n in (1.0, 2.0)]
    log = HistoryLog()
    list(log.new_records(EPOCHS, best_epoch=2))
    records = list(log.new_records([*EPOCHS, *refit], best_epoch=2))
    assert metrics(records) == {1: {"refit/train/loss": 0.5}, 2: {"refit/train/loss": 0.25}}
    assert list(log.new_records([*EPOCHS, *refit], best_epoch=2)) == []
    assert not is_summary("refit/train/loss")


def test_each_epoch_brings_only_what_is_new() -> None:
    log = HistoryLog()
    list(log.new_records(EPOCHS[:1], best_epoch=1))
    assert metrics(list(log.new_records(EPOCHS[:2], best_epoch=2))) == {
        2: {"train/loss": 0.8, "val/accuracy": 0.7},
        0: {"best/val/accuracy": 0.7, "best_epoch": 2.0},
    }
    assert metrics(list(log.new_records(EPOCHS, best_epoch=2))).keys() == {3}
    assert list(log.new_records(EPOCHS, best_epoch=2)) == []


def test_a_log_continues_where_the_store_is() -> None:
    summary = summary_of(EPOCHS[1])
    logged = {(key, step) for step in (1, 2) for key in ("train/loss", "val/accuracy")}
    log = HistoryLog(logged, summary=summary, params=("clip/max_norm",))
    records = list(log.new_records(EPOCHS[:2], best_epoch=2))
    assert records == [("params", {"clip/calibration_norm_mean": "12.3457"})]


def test_a_metric_that_is_not_a_number_is_logged_once() -> None:
    log = HistoryLog()
    assert len(list(log.new_summary({"best/val/loss": math.nan}))) == 1
    assert list(log.new_summary({"best/val/loss": float("nan")})) == []


def test_nothing_is_best_before_the_first_epoch() -> None:
    assert list(HistoryLog().new_records([], None)) == []
