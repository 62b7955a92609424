from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping

import pytest

from rnnlane.tracking import system_metrics
from rnnlane.tracking.system_metrics import SystemMetrics


class Monitor:
    """Stands in for MLflow's collectors: counts its samples."""

    def __init__(self) -> None:
        self.count = 0

    def collect_metrics(self) -> None:
        self.count += 1

    def aggregate_metrics(self) -> dict[str, float]:
        return {"samples": self.count}

    def clear_metrics(self) -> None:
        pass


def test_a_short_run_has_one_sample_that_is_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "_monitors", lambda: [Monitor()])
    logged: list[tuple[dict[str, float], int]] = []
    metrics = SystemMetrics(lambda values, step: logged.append((dict(values), step)), first_step=7)
    metrics.stop()
    assert logged == [({"system/samples": 2.0}, 7)]


def test_samples_have_rising_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "_monitors", lambda: [Monitor()])
    monkeypatch.setattr(system_metrics, "INTERVAL_S", 0.001)
    steps: list[int] = []
    enough = threading.Event()

    def log(values: Mapping[str, float], step: int) -> None:
        steps.append(step)
        if len(steps) == 4:
            enough.set()

    metrics = SystemMetrics(log, first_step=3)
    assert enough.wait(10.0)
    metrics.stop()
    assert steps == list(range(3, 3 + len(steps)))


def test_a_machine_without_counters_only_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.system_metrics.metrics.cpu_monitor", None)
    with caplog.at_level(logging.WARNING):
        metrics = SystemMetrics(lambda values, step: None, first_step=0)
    metrics.stop()
    assert "the run has no system metrics" in caplog.text
