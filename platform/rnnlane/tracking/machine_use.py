"""Samples this machine in a thread. Imports no MLflow, because workers sample theirs as well."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psutil

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0

SampleT = TypeVar("SampleT")


class MachineUse:
    """Measures CPU, memory, disk and network of this machine, under MLflow's names.

    The CPU's use is that since the last call by the same thread; the network's traffic, in MB, is
    that since the first call. What a container hides is left out.
    """

    def __init__(self) -> None:
        self._before: Any = None

    def __call__(self) -> dict[str, float]:
        """One sample."""
        values: dict[str, float] = {}
        for measure in (_cpu, _memory, _disk, self._network):
            try:
                values |= measure()
            except Exception as error:
                logger.debug("a counter of this machine cannot be read: %s", error)
        return {key: round(float(value), 1) for key, value in values.items()}

    def _network(self) -> dict[str, float]:
        now = psutil.net_io_counters()
        self._before = self._before or now
        return {
            "network_receive_megabytes": (now.bytes_recv - self._before.bytes_recv) / 1e6,
            "network_transmit_megabytes": (now.bytes_sent - self._before.bytes_sent) / 1e6,
        }


def _cpu() -> dict[str, float]:
    return {"cpu_utilization_percentage": psutil.cpu_percent()}


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "system_memory_usage_megabytes": memory.used / 1e6,
        "system_memory_usage_percentage": 100 * memory.used / memory.total,
    }


def _disk() -> dict[str, float]:
    disk = psutil.disk_usage(os.sep)
    return {
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": disk.used / 1e6,
        "disk_available_megabytes": disk.free / 1e6,
    }


class Sampler(Generic[SampleT]):
    """Measures every few seconds, in a thread. What goes wrong is only logged, never raised."""

    def __init__(
        self,
        measure: Callable[[], SampleT],
        emit: Callable[[SampleT], None],
        *,
        wait_s: Callable[[], float] = lambda: INTERVAL_S,
    ):
        """Starts the thread.

        Args:
            measure: called at once, where its result is dropped, as the use of a CPU since no
                earlier time is always 0; then after each wait, and once more at the end.
            emit: called with each result.
            wait_s: seconds to wait until the next call.
        """
        self._measure = measure
        self._emit = emit
        self._wait_s = wait_s
        self._has_failed = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> None:
        """Has the last sample taken; a thread that hangs is abandoned after ``timeout_s``."""
        self._stopped.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._try(self._measure)
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(self._wait_s())
            self._try(lambda: self._emit(self._measure()))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # such as a full disk
            if not self._has_failed:
                logger.warning("system metrics are missing: %s", error)
            self._has_failed = True
