"""Checks of this machine's GPUs: whether torch can train on them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rnnlane.doctor.finding import Finding
from rnnlane.errors import first_line
from rnnlane.training.device_use import load_nvml

if TYPE_CHECKING:
    import torch

# TF32 has 10 bits of mantissa.
_RELATIVE_ERROR = 0.01


def gpu_findings(*, in_cluster: float) -> Iterator[Finding]:
    """A finding for each GPU that torch sees here, and one for NCCL; or one for all.

    Args:
        in_cluster: GPUs of the connected Ray, on whatever nodes.
    """
    nvml = load_nvml()
    driver = str(nvml.nvmlSystemGetDriverVersion()) if nvml else ""
    num_installed = int(nvml.nvmlDeviceGetCount()) if nvml else 0
    if num_installed == 0 and in_cluster == 0:
        # Importing torch would take seconds.
        yield Finding("GPUs", True, "none; training uses CPUs")
        return
    import torch

    if torch.cuda.device_count() == 0:
        yield _none_for_torch(num_installed, driver=driver, in_cluster=in_cluster)
        return
    for number in range(torch.cuda.device_count()):
        yield _gpu(torch.device("cuda", number), driver=driver)
    yield nccl_finding()


def _none_for_torch(num_installed: int, *, driver: str, in_cluster: float) -> Finding:
    import torch

    if num_installed == 0:
        return Finding("GPUs", True, f"none on this machine; Ray has {in_cluster:g}")
    found = f"{num_installed}, driver {driver}, but torch {torch.__version__} sees none"
    if torch.version.cuda is None:
        return Finding("GPUs", False, found, "install torch's CUDA build, see pytorch.org")
    cuda = torch.version.cuda
    remedy = f"look at CUDA_VISIBLE_DEVICES, and whether the driver is made for CUDA {cuda}"
    return Finding("GPUs", False, found, remedy)


def _gpu(device: torch.device, *, driver: str) -> Finding:
    import torch

    what = f"GPU {device.index}"
    try:
        known = torch.cuda.get_device_properties(device)
        found = (
            f"{known.name}, {known.total_memory / 2**30:.1f} GiB, compute capability "
            f"{known.major}.{known.minor}" + (f", driver {driver}" if driver else "")
        )
    except Exception as error:
        return Finding(what, False, first_line(error), "look at the driver: run nvidia-smi")
    trouble = training_trouble(device)
    if not trouble:
        return Finding(what, True, found)
    built_for = ", ".join(torch.cuda.get_arch_list())
    remedy = f"another process may fill it (nvidia-smi); this torch is built for {built_for}"
    return Finding(what, False, f"{found}: {trouble}", remedy)


def training_trouble(device: torch.device) -> str:
    """Why torch cannot train a small LSTM on a device; empty if it can."""
    import torch

    layer = torch.nn.LSTM(8, 8)
    texts = torch.linspace(-1, 1, 5 * 3 * 8).view(5, 3, 8)
    expected = _gradient(layer, texts)
    try:
        found = _gradient(copy.deepcopy(layer).to(device), texts.to(device))
    except Exception as error:
        return f"an LSTM cannot be trained there: {first_line(error)}"
    if not (found - expected).norm() <= _RELATIVE_ERROR * expected.norm():
        return "an LSTM has another gradient there than on the CPU"
    return ""


def _gradient(layer: torch.nn.LSTM, texts: torch.Tensor) -> torch.Tensor:
    import torch

    layer.zero_grad()
    layer(texts)[0].square().sum().backward()
    gradients = [weight.grad.flatten() for weight in layer.parameters() if weight.grad is not None]
    return torch.cat(gradients).cpu()


def nccl_finding() -> Finding:
    """Whether workers on GPUs can exchange gradients."""
    import torch
    from torch import distributed

    if distributed.is_available() and distributed.is_nccl_available():
        version = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
        return Finding("NCCL", True, version)
    remedy = "install torch's CUDA build; until then train with --workers 0 or runtime.device cpu"
    return Finding("NCCL", False, "this torch has none, and workers on GPUs need it", remedy)
