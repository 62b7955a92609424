"""What runs on a device while steps are taken, from torch's profiler."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# The matrix products of the weights' gradients bear the names of any matrix product.
_RECURRENT = re.compile(r"rnn|lstm|gru|persist", re.IGNORECASE)


class Kernel(NamedTuple):
    """One kernel, copy or fill on a device; on a CPU one operation.

    Attributes:
        name: as the profiler has it.
        start: microseconds.
        end: microseconds.
    """

    name: str
    start: float
    end: float


def kernels_of(work: Callable[[], object], device: torch.device) -> list[Kernel]:
    """What ran on the device for ``work``, in the order of its start."""
    on_gpu = device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        work()
        if on_gpu:
            torch.cuda.synchronize()
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    found = [
        Kernel(event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == wanted and not event.is_user_annotation
    ]
    return sorted(found, key=lambda kernel: kernel.start)


def busy_share(kernels: Sequence[Kernel]) -> float:
    """Share of the time from the first start to the last end in which anything runs, in (0, 1].

    Kernels may overlap: for those from 0 to 4, from 2 to 6 and from 8 to 10 it is 8 / 10.
    """
    busy, end = 0.0, kernels[0].start
    for kernel in kernels:
        busy += max(0.0, kernel.end - max(kernel.start, end))
        end = max(end, kernel.end)
    return busy / (end - kernels[0].start)


def recurrent_share(kernels: Sequence[Kernel]) -> float:
    """Share of the kernels' time that is in those of recurrent layers, by their names."""
    seconds = _time_by_name(kernels)
    recurrent = sum(time for name, time in seconds.items() if _RECURRENT.search(name))
    return recurrent / sum(seconds.values())


def largest(kernels: Sequence[Kernel], count: int = 4) -> str:
    """The names that take most of the time, with their shares, for people."""
    seconds = _time_by_name(kernels)
    total = sum(seconds.values())
    return "; ".join(f"{name[:48]} {time / total:.0%}" for name, time in seconds.most_common(count))


def _time_by_name(kernels: Sequence[Kernel]) -> Counter[str]:
    seconds: Counter[str] = Counter()
    for kernel in kernels:
        seconds[kernel.name] += kernel.end - kernel.start  # type: ignore[assignment]
    return seconds
