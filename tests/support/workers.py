"""Worker groups without Ray: real ones, of processes joined by gloo, and pretended ones."""

import os
import pickle
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from rnnlane.training.group import WorkerGroup


def in_worker_group(world_size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(group, *arguments)`` returns on each worker, by rank."""
    # Processes are forks of one that has imported torch, which would take each seconds.
    mp.set_forkserver_preload(
        ["rnnlane.training.loop", "rnnlane.training.metrics", "sklearn.metrics"]
    )
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _worker,
            (world_size, folder, function, arguments),
            nprocs=world_size,
            start_method="forkserver",
        )
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(world_size)]


def _worker(
    rank: int, world_size: int, folder: str, function: Callable[..., Any], arguments: tuple
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world_size
    )
    try:
        result = function(WorkerGroup(rank, world_size, torch.device("cpu")), *arguments)
        (Path(folder) / str(rank)).write_bytes(pickle.dumps(result))
    except BaseException:
        traceback.print_exc()
        raise
    dist.destroy_process_group()
    # gloo's threads may abort the process while it is torn down, after all work is done.
    os._exit(0)


@dataclass(frozen=True)
class _Pretended(WorkerGroup):
    sent: dict[int, Tensor]

    def gathered(self, values: Tensor) -> list[Tensor]:
        self.sent[self.rank] = values.clone()
        return [self.sent.get(rank, values) for rank in range(self.world_size)]


def asked_in_turn(
    world_size: int, function: Callable[[WorkerGroup], Any]
) -> tuple[list[Any], dict[int, Tensor]]:
    """What ``function(group)`` returns on each worker, by rank, and what each gives to the others.

    All in this process: every worker is asked twice, and the first time only for what it sends. So
    this is for functions in which workers exchange something once, by ``gathered``.
    """
    sent: dict[int, Tensor] = {}
    groups = [_Pretended(rank, world_size, torch.device("cpu"), sent) for rank in range(world_size)]
    for group in groups:
        function(group)
    return [function(group) for group in groups], sent
