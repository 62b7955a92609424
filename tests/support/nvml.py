"""Stands for the bindings of NVML on a machine with GPUs; nothing else here can."""

import sys
from types import SimpleNamespace

import pytest
import torch

UUIDS = ("5e1a2b3c-0000-1111-2222-333344445555", "5e1a2b3c-0000-1111-2222-333344446666")


class NVMLError(Exception):
    """As the bindings': the base of all their errors."""


class Nvml:
    """Two GPUs, of 80 GB and 700 W each; the second is idle.

    Attributes:
        refused: names of calls that the device does not support.
    """

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.refused: set[str] = set()

    def nvmlInit(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return len(UUIDS)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if not uuid.startswith("GPU-") or uuid[4:] not in UUIDS:
            raise NVMLError("Not Found")
        return UUIDS.index(uuid[4:])

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle

    def nvmlDeviceGetName(self, handle: int) -> str:
        return ("NVIDIA H100 80GB HBM3", "NVIDIA A100 80GB PCIe")[handle]

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return self._answer("utilization", SimpleNamespace(gpu=(87, 0)[handle], memory=12))

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        used = (20_000_000_000, 500_000_000)[handle]
        return self._answer("memory", SimpleNamespace(used=used, total=80_000_000_000))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self._answer("power", (350_000, 70_000)[handle])

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return self._answer("power", 700_000)

    def _answer(self, what, value):
        if what in self.refused:
            raise NVMLError("Not Supported")
        return value


def with_gpus(monkeypatch: pytest.MonkeyPatch, *, visible: tuple[int, ...] = (0, 1)) -> Nvml:
    """Two GPUs for NVML, of which torch sees the ``visible`` ones as 0, 1, ..."""
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid=UUIDS[visible[torch.device(device).index or 0]]),
    )
    return nvml
