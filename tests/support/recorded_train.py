"""``rnnlane train`` whose workers write down the row ids that they take: run as a module.

RECORD_FOLDER gets a file for each attempt, number of workers and rank that takes a step: a line for
where the checkpoint stands, without rows, then a line a step. While the folder holds a file called
``slow``, a step takes at least a second.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnnlane.cli.main import main
from rnnlane.data.batches.plan import share
from rnnlane.data.batches.streamed import StepRows
from rnnlane.execution import on_ray as ray_trainer
from rnnlane.execution import worker
from rnnlane.training.checkpoint import STATE
from rnnlane.training.feed import TrainFeed


def recording_loop(folder: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The worker loop, with a feed that writes down what it gives."""

    def loop(setting: dict[str, Any]) -> dict[str, Any]:
        return record(setting, Path(folder))

    return loop


def record(setting: dict[str, Any], folder: Path) -> dict[str, Any]:
    import ray.train

    context = ray.train.get_context()
    attempt = f"{context.get_experiment_name()}-of-{context.get_world_size()}"
    file = folder / f"{attempt}-rank-{context.get_world_rank()}"
    plain_steps, plain_batch = TrainFeed.steps, TrainFeed._step_batch
    plain_training = setting["loop"]
    checkpoint: dict[str, Any] = {"epoch": 1, "step": 0}
    taken: list[list[int]] = []

    def write(epoch: int, step: int, rows: list[int] | None) -> None:
        with file.open("a") as lines:
            lines.write(json.dumps([epoch, step, rows, time.time()]) + "\n")

    def training(*arguments: Any, start: Path | None = None, **options: Any) -> Any:
        if start is not None:
            checkpoint.update(json.loads((start / STATE).read_text()))
        return plain_training(*arguments, start=start, **options)

    def step_batch(self: TrainFeed, step: StepRows, *others: Any) -> Any:
        group, labels = self._group, step.split.labels[step.rows]
        places = np.arange(len(labels))
        mine = share(places, labels, rank=group.rank, world_size=group.world_size)
        taken.append(step.row_ids[mine].tolist())
        return plain_batch(self, step, *others)

    def steps(self: TrainFeed, epoch: int, *, start: int = 0) -> Any:
        for step, batch in enumerate(plain_steps(self, epoch, start=start), start=start):
            if not file.exists():
                write(checkpoint["epoch"], checkpoint["step"], None)
            write(epoch, step, taken[-1])
            if (folder / "slow").exists():
                time.sleep(1)
            yield batch

    TrainFeed.steps, TrainFeed._step_batch = steps, step_batch  # type: ignore[method-assign]
    try:
        return worker.worker_loop({**setting, "loop": training})
    finally:
        TrainFeed.steps, TrainFeed._step_batch = plain_steps, plain_batch  # type: ignore[method-assign]


if __name__ == "__main__":
    from support import recorded_train

    # By its name in a module that workers can import, not as part of __main__.
    ray_trainer.worker_loop = recorded_train.recording_loop(os.environ["RECORD_FOLDER"])
    sys.exit(main())
