"""A GPU as NVML sees it: its use, and the driver. Needs the NVIDIA driver's library."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def load_nvml() -> Any:
    """The bindings of NVML, initialized; None where there is no NVIDIA driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # no bindings, or an error of theirs: no library, no driver, no GPU
        logger.debug("NVML cannot be used: %s", error)
        return None
    return pynvml


class DeviceUse:
    """Measures utilization, memory and power of one GPU, by whatever processes, for MLflow.

    Args:
        nvml: the bindings.
        handle: of the device.
    """

    def __init__(self, nvml: Any, handle: Any):
        self._nvml = nvml
        self._handle = handle
        self._prefix = f"gpu_{nvml.nvmlDeviceGetIndex(handle)}_"

    def __call__(self) -> dict[str, float]:
        """One sample: percentages, MB and W. What the device does not tell is left out."""
        values: dict[str, float] = {}
        for measure in (self._utilization, self._memory, self._power):
            try:
                values |= measure()
            except self._nvml.NVMLError as error:
                logger.debug("a GPU does not tell its use: %s", error)
        return {f"{self._prefix}{key}": round(value, 1) for key, value in values.items()}

    def _utilization(self) -> dict[str, float]:
        rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
        return {"utilization_percentage": float(rates.gpu)}

    def _memory(self) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return {
            "memory_usage_megabytes": memory.used / 1e6,
            "memory_usage_percentage": 100 * memory.used / memory.total,
        }

    def _power(self) -> dict[str, float]:
        watts = self._nvml.nvmlDeviceGetPowerUsage(self._handle) / 1000
        limit = self._nvml.nvmlDeviceGetEnforcedPowerLimit(self._handle) / 1000
        return {"power_usage_watts": watts, "power_usage_percentage": 100 * watts / limit}


def device_use(device: torch.device) -> Callable[[], dict[str, float]] | None:
    """Measures the use of a worker's device; None where it is no GPU, or NVML does not know it."""
    if device.type != "cuda":
        return None
    nvml = load_nvml()
    if nvml is None:
        return None
    import torch

    try:
        # Not by number: CUDA_VISIBLE_DEVICES renumbers the devices of CUDA, but not those of NVML.
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return DeviceUse(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
    except Exception as error:  # such as a part of a GPU (MIG)
        logger.debug("NVML does not know %s: %s", device, error)
        return None
