"""Samples a worker's machine and device while it trains."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.records.events import RunEvents
from rnnlane.records.system_use import SystemUse
from rnnlane.tracking.machine_use import MachineUse, Sampler
from rnnlane.training.device_use import device_use
from rnnlane.training.group import WorkerGroup

# An event that hangs must not hold up the end of training.
_STOP_S = 5.0


@contextlib.contextmanager
def sampled(
    config: ExperimentConfig, group: WorkerGroup, *, events: RunEvents, with_machine: bool
) -> Iterator[None]:
    """Sends samples while the block runs, unless the experiment wants none.

    Args:
        config: the experiment.
        group: has this worker's device.
        events: gets the samples.
        with_machine: whether this worker samples the machine too: one on each does.
    """
    is_wanted = config.tracking.system_metrics
    device = device_use(group.device) if is_wanted else None
    if not is_wanted or not (with_machine or device):
        yield
        return
    node, machine = platform.node(), MachineUse() if with_machine else None

    def measure() -> SystemUse:
        return SystemUse(node, machine() if machine else {}, device() if device else {})

    sampler = Sampler(measure, events.system_use)
    try:
        yield
    finally:
        sampler.stop(_STOP_S)
