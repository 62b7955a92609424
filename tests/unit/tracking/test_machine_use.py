from __future__ import annotations

import logging
import subprocess
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest

from rnnlane.tracking.machine_use import MachineUse, Sampler


def test_mlflow_measures_the_same_under_the_same_names() -> None:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    theirs: dict[str, float] = {}
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor):
        monitor = kind()
        monitor.collect_metrics()
        theirs |= monitor.aggregate_metrics()
    ours = MachineUse()()
    assert ours.keys() == theirs.keys()
    for key in ("system_memory_usage_megabytes", "disk_usage_megabytes", "disk_usage_percentage"):
        assert ours[key] == pytest.approx(theirs[key], rel=0.2), key


def test_traffic_counts_from_the_first_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = [
        SimpleNamespace(bytes_recv=5_000_000, bytes_sent=7_000_000),
        SimpleNamespace(bytes_recv=8_000_000, bytes_sent=7_500_000),
    ]
    monkeypatch.setattr(psutil, "net_io_counters", lambda: counters.pop(0))
    measure = MachineUse()
    measure()
    values = measure()
    assert values["network_receive_megabytes"] == 3.0
    assert values["network_transmit_megabytes"] == 0.5


def test_what_a_container_hides_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden() -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_percent", hidden)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    values = MachineUse()()
    assert "system_memory_usage_percentage" in values
    assert not [key for key in values if key.startswith(("cpu", "network"))]


def test_the_first_measurement_is_dropped_and_a_last_one_made() -> None:
    counts = iter(range(100))
    emitted: list[int] = []
    Sampler(lambda: next(counts), emitted.append).stop()
    assert emitted == [1]


def test_it_measures_until_it_is_stopped_and_asks_how_long_to_wait() -> None:
    waits: list[float] = []
    enough = threading.Event()

    def wait_s() -> float:
        waits.append(0.001)
        if len(waits) == 4:
            enough.set()
        return waits[-1]

    emitted: list[str] = []
    sampler = Sampler(lambda: "x", emitted.append, wait_s=wait_s)
    assert enough.wait(10.0)
    sampler.stop()
    assert len(emitted) == len(waits) >= 4


def test_what_goes_wrong_is_said_once_and_sampling_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = threading.Semaphore(0)

    def fail(_: object) -> None:
        tried.release()
        raise OSError("no space left")

    with caplog.at_level(logging.WARNING):
        sampler = Sampler(lambda: "x", fail, wait_s=lambda: 0.001)
        for _ in range(3):
            assert tried.acquire(timeout=10.0)
        sampler.stop()
    assert [record.message for record in caplog.records] == [
        "system metrics are missing: no space left"
    ]


def test_a_thread_that_hangs_is_abandoned() -> None:
    forever = threading.Event()
    sampler = Sampler(lambda: "x", lambda _: forever.wait(60.0), wait_s=lambda: 0.001)
    sampler.stop(0.01)
    forever.set()


def test_workers_sample_without_mlflow() -> None:
    code = "import sys, rnnlane.execution.worker; assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
