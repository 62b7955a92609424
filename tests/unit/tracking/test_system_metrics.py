from __future__ import annotations

import platform

import pytest

from rnnlane.records.system_use import SystemUse
from rnnlane.tracking import system_metrics
from rnnlane.tracking.system_metrics import SystemMetrics

Logged = list[tuple[dict[str, float], int]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """What is logged of a machine whose counters are made up."""
    monkeypatch.setattr(system_metrics, "MachineUse", lambda: lambda: {"cpu": 5.0})
    return []


def started(logged: Logged, first_step: int = 0) -> SystemMetrics:
    return SystemMetrics(
        lambda values, step: logged.append((dict(values), step)), first_step=first_step
    )


def test_a_short_run_has_one_sample_at_the_next_step(logged: Logged) -> None:
    started(logged, first_step=7).stop()
    assert logged == [({"system/cpu": 5.0}, 7)]


def test_workers_are_logged_at_the_step_of_this_machine_by_node(logged: Logged) -> None:
    metrics = started(logged)
    metrics.add(SystemUse("b", {"cpu": 10.0}, {"gpu_0_power_usage_watts": 100.0}))
    metrics.add(SystemUse("b", {}, {"gpu_1_power_usage_watts": 300.0}))
    metrics.add(SystemUse("a", {"cpu": 30.0}))
    metrics.stop()
    assert logged == [
        (
            {
                "system/cpu": 5.0,
                "system/a/cpu": 30.0,
                "system/b/cpu": 10.0,
                "system/b/gpu_0_power_usage_watts": 100.0,
                "system/b/gpu_1_power_usage_watts": 300.0,
            },
            0,
        )
    ]


def test_this_machine_is_logged_once_and_its_devices_by_node(logged: Logged) -> None:
    metrics = started(logged)
    here = platform.node()
    metrics.add(SystemUse(here, {"cpu": 99.0}, {"gpu_0_power_usage_watts": 100.0}))
    metrics.stop()
    assert logged == [({"system/cpu": 5.0, f"system/{here}/gpu_0_power_usage_watts": 100.0}, 0)]


def test_samples_between_two_steps_are_averaged_and_logged_once(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = started(logged)
    for watts in (100.0, 200.0, 600.0):
        metrics.add(SystemUse("b", {}, {"gpu_0_power_usage_watts": watts}))
    metrics._emit({})
    metrics._emit({})
    metrics.stop()
    assert logged == [
        ({"system/b/gpu_0_power_usage_watts": 300.0}, 0),
        ({"system/cpu": 5.0}, 1),
    ]


def test_a_name_that_mlflow_refuses_is_changed(logged: Logged) -> None:
    from mlflow.utils.validation import _validate_metric_name

    metrics = started(logged)
    metrics.add(SystemUse("node#7%a", {"cpu": 1.0}))
    metrics.stop()
    assert [key for key in logged[0][0] if "node" in key] == ["system/node_7_a/cpu"]
    for key in logged[0][0]:
        _validate_metric_name(key)


def test_the_steps_of_a_run_of_days_are_bounded(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(system_metrics.time, "monotonic", lambda: clock[0])
    metrics = started(logged)
    counts = {}
    for hours in (1, 24, 24 * 7):
        while clock[0] < 100.0 + 3600 * hours:
            clock[0] += metrics._wait_s()
            counts[hours] = counts.get(hours, 0) + 1
    metrics.stop()
    total = [counts[1], counts[1] + counts[24], sum(counts.values())]
    assert total == [360, pytest.approx(1500, abs=10), pytest.approx(2200, abs=10)]
