"""CPU, memory, disk, network and GPU use of the driver's machine, logged while a run lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from rnnlane.tracking.internals import gpu_monitor, machine_monitors

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0


class SystemMetrics:
    """Samples MLflow's own collectors in a thread.

    MLflow's own ``SystemMetricsMonitor`` writes to the store directly and ends at the first failed
    request. Here the samples take the same path as all other metrics.
    """

    def __init__(self, log: Callable[[Mapping[str, float], int], None], *, first_step: int):
        """Starts the thread; only warns if the machine's counters cannot be read.

        Args:
            log: called with values under MLflow's names (``system/...``) and their step.
            first_step: step of the first sample; steps count samples, not epochs.
        """
        self._log = log
        self._step = first_step
        self._stopped = threading.Event()
        self._monitors = _monitors()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        if self._monitors:
            self._thread.start()

    def stop(self) -> None:
        """Logs a last sample and ends the thread."""
        self._stopped.set()
        if self._monitors:
            self._thread.join()

    def _run(self) -> None:
        # Discarded: the first CPU value of a process covers no time and is always 0.
        self._sample()
        stopped = False
        while not stopped:
            stopped = self._stopped.wait(INTERVAL_S)
            self._log(self._sample(), self._step)
            self._step += 1

    def _sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values.update(monitor.aggregate_metrics())
            monitor.clear_metrics()
        return {f"system/{key}": float(value) for key, value in values.items()}


def _monitors() -> list[Any]:
    try:
        monitors = [kind() for kind in machine_monitors()]
    except Exception as error:  # psutil is missing, or a container hides its counters
        logger.warning("the run has no system metrics: %s", error)
        return []
    try:
        return [*monitors, gpu_monitor()()]
    except Exception as error:  # no NVML bindings, no driver or no GPU
        logger.debug("the run has no GPU metrics: %s", error)
        return monitors
