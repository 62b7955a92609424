"""The workers of one run, seen from one of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class WorkerGroup:
    """This worker's place among the workers; a group of one needs no process group.

    Attributes:
        rank: in [0, world_size).
        world_size: number of workers.
        device: where this worker computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this worker speaks for the group."""
        return self.rank == 0

    def sum_(self, values: Tensor) -> Tensor:
        """Replaces ``values`` by their sum over the workers; every worker must call it."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values


def in_process() -> WorkerGroup:
    """The group of a run without Ray Train: this process alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return WorkerGroup(rank=0, world_size=1, device=device)
