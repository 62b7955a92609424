"""The workers of one run, as seen by one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
import torch.distributed as dist
from torch import Tensor

from rnnlane.config.runtime import Device
from rnnlane.errors import ConfigError, ResourceError


@dataclass(frozen=True)
class WorkerGroup:
    """This worker's rank and device; a group of one needs no process group.

    Attributes:
        rank: in [0, world_size).
        world_size: number of workers.
        device: the device that this worker computes on.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this worker acts for the group, such as by reporting progress."""
        return self.rank == 0

    def own_shards(self, num_shards: int) -> range:
        """The shards of a global batch that this worker has, of ``num_shards`` in all."""
        return range(self.rank, num_shards, self.world_size)

    def copy_from_first_(self, values: Tensor) -> None:
        """Replaces ``values`` by the first worker's; every worker must call it."""
        if self.world_size > 1:
            dist.broadcast(values, src=0)

    def sum_(self, values: Tensor) -> Tensor:
        """Replaces ``values`` by their sum over the workers; every worker must call it."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gathered(self, values: Tensor) -> list[Tensor]:
        """The ``values`` of all workers, by rank; every worker must call it, with one shape."""
        if self.world_size == 1:
            return [values]
        by_rank = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(by_rank, values)
        return by_rank


def in_process(device: Device, *, where: str = "runtime.device") -> WorkerGroup:
    """The group of a run without Ray Train, and of whoever uses a model: this process alone.

    Args:
        device: auto uses a GPU if there is one.
        where: what gave the device, for errors.

    Raises:
        ConfigError: there is no such device.
        ResourceError: a GPU is wanted, but torch sees none.
    """
    if device not in get_args(Device):
        raise ConfigError(
            f"it must be one of {', '.join(get_args(Device))}, but got {device!r}", where=where
        )
    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise ResourceError(
            "gpu needs a GPU, but torch sees none",
            where=where,
            remedy="set it to auto or cpu",
        )
    chosen = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    return WorkerGroup(rank=0, world_size=1, device=chosen)
