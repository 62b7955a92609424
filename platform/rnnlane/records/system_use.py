"""How much of a machine and of its devices is used, as a worker measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SystemUse:
    """One sample, under MLflow's names of system metrics without ``system/``.

    Attributes:
        node: host name of the machine.
        machine: its CPU, memory, disk and network; empty where another worker there samples them.
        devices: of the worker's GPU, such as ``gpu_0_utilization_percentage``; 0 is the number
            that ``nvidia-smi`` gives it, whatever CUDA_VISIBLE_DEVICES is.
    """

    node: str
    machine: Mapping[str, float] = field(default_factory=dict)
    devices: Mapping[str, float] = field(default_factory=dict)
