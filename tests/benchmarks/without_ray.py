"""rnnlane's inner loop under torchrun: prints rows a second of the last epoch.

`torchrun --nproc-per-node 2 -m tests.benchmarks.without_ray EXPERIMENT.yaml`; the data must be
prepared. Rank 0 prints.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed as dist

from rnnlane.config import load_experiment
from rnnlane.config.paths import storage_root
from rnnlane.data.prepare.pipeline import find_prepared
from rnnlane.execution.run import training_data
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import run_training


class Silence:
    """Events that nobody hears."""

    def progress(self, progress: Any) -> None:
        """See Events."""

    def epoch(self, history: Any) -> None:
        """See Events."""

    def checkpoint(self, write: Any) -> None:
        """See Events."""


def main() -> None:
    config = load_experiment(sys.argv[1])
    prepared = find_prepared(config, storage=storage_root(config))
    assert prepared is not None, "the data is not prepared"
    dist.init_process_group("gloo")
    group = WorkerGroup(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    outcome = run_training(config, training_data(config, prepared), group=group, events=Silence())
    if group.is_first:
        print(outcome.history[-1]["throughput/rows_per_s"], flush=True)
    dist.barrier()
    # gloo's threads may abort the process while it is torn down, after all work is done.
    os._exit(0)


if __name__ == "__main__":
    main()
