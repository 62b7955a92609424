"""Samples a worker's machine and device while it trains."""

from __future__ import annotations

import contextlib
import itertools
import platform
import zlib
from collections.abc import Iterator

import torch

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.records.events import RunEvents
from rnnlane.records.system_use import SystemUse
from rnnlane.tracking.machine_use import INTERVAL_S, MachineUse, Sampler
from rnnlane.training.device_use import device_use
from rnnlane.training.group import WorkerGroup

# Soon, so that a machine that is lost after some seconds has been seen.
_FIRST_WAIT_S = 1.0
# An event that hangs must not hold up the end of training.
_STOP_S = 5.0


@contextlib.contextmanager
def sampled(config: ExperimentConfig, group: WorkerGroup, *, events: RunEvents) -> Iterator[None]:
    """Sends samples while the block runs, unless the experiment wants none.

    Every worker must enter it. Each samples its device, if that is a GPU, and the first one of each
    machine samples that too.

    Args:
        config: the experiment.
        group: has this worker's device.
        events: gets the samples.
    """
    if not config.tracking.system_metrics:
        yield
        return
    node, device = platform.node(), device_use(group.device)
    machine = MachineUse() if _is_first_of(node, group) else None
    if not (machine or device):
        yield
        return

    def measure() -> SystemUse:
        return SystemUse(node, machine() if machine else {}, device() if device else {})

    waits = itertools.chain([_FIRST_WAIT_S], itertools.repeat(INTERVAL_S))
    sampler = Sampler(measure, events.system_use, wait_s=lambda: next(waits))
    try:
        yield
    finally:
        sampler.stop(_STOP_S)


def _is_first_of(node: str, group: WorkerGroup) -> bool:
    """Whether no worker before this one is on a machine of this name.

    Samples go by that name. Ray counts the workers of a machine by its address, which may be that
    of several nodes.
    """
    if group.world_size == 1:
        return True
    name = torch.tensor([zlib.crc32(node.encode())], device=group.device)
    names = torch.cat(group.gathered(name)).tolist()
    return names.index(names[group.rank]) == group.rank
