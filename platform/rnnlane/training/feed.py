"""The batch plan of an epoch -> the tensors of one worker, step by step.

A streaming feed can be added beside the resident `TrainFeed`: the loop only iterates over
:class:`StepBatch`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.experiment import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import plan, share
from rnnlane.data.batches.tensors import BatchMaker, send
from rnnlane.training.active_rows import ActiveRowIndex, ActiveRows
from rnnlane.training.group import WorkerGroup


@dataclass(frozen=True)
class StepBatch:
    """One worker's share of one step: B rows of at most T tokens.

    Attributes:
        active: the embedding rows that the global batch uses, and this worker's tokens [B, T] as
            positions among them.
        lengths: int64 [B], tokens of each row, at least 1; on the CPU.
        labels: int64 [B], on the device.
        weights: float32 [B], 1 for a real row and 0 for a padding row; on the device.
        loss_weights: float32 [B], the same times the weight of the row's class.
        num_rows: rows of the global batch.
        loss_weight: sum of loss_weights over the global batch; num_rows without class weights.
        num_tokens: tokens of this worker's rows.
        data_s: seconds that making the batch took.
    """

    active: ActiveRows
    lengths: Tensor
    labels: Tensor
    weights: Tensor
    loss_weights: Tensor
    num_rows: int
    loss_weight: float
    num_tokens: int
    data_s: float


class TrainFeed:
    """Steps over a train split that is resident in memory.

    Every worker holds the whole split (one copy per node), so each can compute which tokens the
    other workers use in a step without asking them.
    """

    def __init__(
        self,
        split: EncodedSplit,
        config: TrainingConfig,
        *,
        seed: int,
        vocabulary_size: int,
        group: WorkerGroup,
        class_weights: npt.NDArray[np.float32] | None = None,
    ):
        self._split = split
        self._lengths = split.lengths
        self._config = config
        self._seed = seed
        self._group = group
        self._class_weights: tuple[npt.NDArray[np.float32], Tensor] | None = None
        if class_weights is not None:
            on_device = send(torch.from_numpy(class_weights), group.device)
            self._class_weights = class_weights, on_device
        self._make_batch = BatchMaker(split, group.device)
        self._active_rows_of = ActiveRowIndex(vocabulary_size, group.device)

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, over all workers."""
        return len(self._split)

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._split) // self._config.global_batch_size)

    def steps(self, epoch: int, *, start: int = 0) -> Iterator[StepBatch]:
        """The steps of an epoch, beginning with step ``start``."""
        started = time.perf_counter()
        steps = plan(
            self._split.labels,
            self._lengths,
            global_batch_size=self._config.global_batch_size,
            seed=self._seed,
            epoch=epoch,
            max_buckets=self._config.bucket_window,
        )
        for rows in steps[start:]:
            yield self._step_batch(rows, started)
            started = time.perf_counter()

    def _step_batch(self, rows: npt.NDArray[np.int64], started: float) -> StepBatch:
        group = self._group
        own = share(rows, self._split.labels, rank=group.rank, world_size=group.world_size)
        # Longest first: packing rows in any other order would have to wait for a GPU.
        own = own[np.argsort(-self._lengths[own], kind="stable")]
        batch = self._make_batch(own, num_rows=-(-len(rows) // group.world_size))
        global_tokens, _ = self._split.tokens_of(rows)
        loss_weights, loss_weight = batch.weights, float(len(rows))
        if self._class_weights is not None:
            on_host, on_device = self._class_weights
            loss_weights = batch.weights * on_device[batch.labels]
            loss_weight = float(on_host[self._split.labels[rows]].sum())
        return StepBatch(
            active=self._active_rows_of(global_tokens, batch.token_ids),
            lengths=batch.lengths,
            labels=batch.labels,
            weights=batch.weights,
            loss_weights=loss_weights,
            num_rows=len(rows),
            loss_weight=loss_weight,
            num_tokens=int(batch.lengths[: len(own)].sum()),
            data_s=time.perf_counter() - started,
        )
