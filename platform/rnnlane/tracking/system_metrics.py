"""CPU, memory, disk, network and GPU use of a run's machines, logged while the run lasts."""

from __future__ import annotations

import platform
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from rnnlane.records.system_use import SystemUse
from rnnlane.tracking.machine_use import INTERVAL_S, MachineUse, Sampler

# The wait grows with the age of a run, so that a long one does not flood the store: there are 360
# steps in the first hour, 1,500 in the first day and 2,200 in the first week.
STEPS_PER_AGE = 360


class SystemMetrics:
    """Logs the use of this machine, and of those of the workers, at common steps.

    MLflow's own ``SystemMetricsMonitor`` writes to the store directly, ends at the first failed
    request and sees one machine. Here the samples take the same path as all other metrics.
    """

    def __init__(self, log: Callable[[Mapping[str, float], int], None], *, first_step: int):
        """Starts to sample.

        Args:
            log: called with values under MLflow's names (``system/...``) and their step.
            first_step: step of the first sample; steps count samples, not epochs.
        """
        self._log = log
        self._step = first_step
        self._node = platform.node()
        self._lock = threading.Lock()
        self._added: defaultdict[str, list[float]] = defaultdict(list)
        self._started_at = time.monotonic()
        self._sampler = Sampler(MachineUse(), self._emit, wait_s=self._wait_s)

    def add(self, use: SystemUse) -> None:
        """Keeps a worker's sample until the next step, which has the mean of those since the last.

        Of this machine only the devices are kept: the rest is sampled here, under the same names
        without that of the machine.
        """
        machine = {} if use.node == self._node else use.machine
        # What MLflow does not take in the name of a metric.
        node = re.sub(r"[^\w.-]", "_", use.node)
        with self._lock:
            for key, value in {**machine, **use.devices}.items():
                self._added[f"system/{node}/{key}"].append(value)

    def stop(self) -> None:
        """Logs a last sample and ends the thread."""
        self._sampler.stop()

    def _wait_s(self) -> float:
        return max(INTERVAL_S, (time.monotonic() - self._started_at) / STEPS_PER_AGE)

    def _emit(self, machine: Mapping[str, float]) -> None:
        with self._lock:
            added, self._added = self._added, defaultdict(list)
        values = {f"system/{key}": value for key, value in machine.items()}
        values |= {key: sum(samples) / len(samples) for key, samples in sorted(added.items())}
        if values:
            self._log(values, self._step)
            self._step += 1
