"""The batch plan of an epoch -> the tensors of one worker, step by step.

`TrainFeed` is the place where a streaming feed would stand beside the resident one: the loop only
iterates over :class:`StepBatch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.experiment import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import plan, share
from rnnlane.data.batches.tensors import Batch, BatchMaker, send
from rnnlane.training.group import WorkerGroup


@dataclass(frozen=True)
class StepBatch:
    """One worker's share of one step.

    Attributes:
        batch: the rows of this worker; ``batch.token_ids`` index ``touched``, not the vocabulary.
        touched: int64 [U]; the sorted token ids of the *global* batch, padding first; on the
            device.
        num_rows: rows of the global batch.
        num_tokens: tokens of this worker's rows.
    """

    batch: Batch
    touched: Tensor
    num_rows: int
    num_tokens: int


class TrainFeed:
    """Steps over a train split that is resident in memory.

    Every worker holds the whole split (one copy a node), so each can tell which tokens the other
    workers touch in a step without asking them.
    """

    def __init__(
        self,
        split: EncodedSplit,
        config: TrainingConfig,
        *,
        seed: int,
        vocabulary_size: int,
        group: WorkerGroup,
    ):
        self._split = split
        self._lengths = split.lengths
        self._config = config
        self._seed = seed
        self._group = group
        self._make_batch = BatchMaker(split, group.device)
        self._position = torch.zeros(vocabulary_size, dtype=torch.int64, device=group.device)
        self._is_touched = np.zeros(vocabulary_size, dtype=np.bool_)

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, over all workers."""
        return len(self._split)

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._split) // self._config.global_batch_size)

    def steps(self, epoch: int, *, start: int = 0) -> Iterator[StepBatch]:
        """The steps of an epoch from step ``start`` on."""
        steps = plan(
            self._split.labels,
            self._lengths,
            global_batch_size=self._config.global_batch_size,
            seed=self._seed,
            epoch=epoch,
            window=self._config.bucket_window,
        )
        for rows in steps[start:]:
            yield self._step_batch(rows)

    def _step_batch(self, rows: npt.NDArray[np.int64]) -> StepBatch:
        group = self._group
        mine = share(rows, self._split.labels, rank=group.rank, world_size=group.world_size)
        # Longest first: to pack rows in any other order, a GPU would have to be waited for.
        mine = mine[np.argsort(-self._lengths[mine], kind="stable")]
        batch = self._make_batch(mine, num_rows=-(-len(rows) // group.world_size))
        touched = send(torch.from_numpy(self._touched(rows)), group.device)
        self._position[touched] = torch.arange(len(touched), device=group.device)
        compact = self._position[batch.token_ids]
        return StepBatch(
            batch=Batch(compact, batch.lengths, batch.labels, batch.weights),
            touched=touched,
            num_rows=len(rows),
            num_tokens=int(batch.lengths[: len(mine)].sum()),
        )

    def _touched(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sorted distinct token ids of the rows, and padding: int64 [U]."""
        tokens, _ = self._split.tokens_of(rows)
        self._is_touched[tokens] = True
        self._is_touched[0] = True
        touched = np.flatnonzero(self._is_touched)
        self._is_touched[touched] = False
        return touched
