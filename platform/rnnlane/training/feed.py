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
class Shard:
    """The rows of a step that go through the model together: B rows of at most T tokens.

    Attributes:
        number: which of the global batch's shards it is.
        active: the embedding rows that the global batch uses, and the shard's tokens [B, T] as
            positions among them.
        lengths: int64 [B], tokens of each row, at least 1; on the device.
        labels: int64 [B], on the device.
        weights: float32 [B], 1 for a real row and 0 for a padding row; on the device.
        loss_weights: float32 [B], the same times the weight of the row's class.
        num_tokens: tokens of its rows.
        dropout_seed: of its dropout masks, which are a function of seed, epoch, step and shard, so
            that no random state is saved.
    """

    number: int
    active: ActiveRows
    lengths: Tensor
    labels: Tensor
    weights: Tensor
    loss_weights: Tensor
    num_tokens: int
    dropout_seed: int


@dataclass(frozen=True)
class StepBatch:
    """One worker's share of one step.

    Attributes:
        shards: one; with ``training.reduction_shards`` all that the worker has of the step's.
        num_rows: rows of the global batch.
        loss_weight: sum of loss_weights over the global batch; num_rows without class weights.
        data_s: seconds that making the batch took.
    """

    shards: tuple[Shard, ...]
    num_rows: int
    loss_weight: float
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
        for step, rows in enumerate(steps[start:], start=start):
            yield self._step_batch(rows, started, (self._seed, epoch, step))
            started = time.perf_counter()

    def _step_batch(
        self, rows: npt.NDArray[np.int64], started: float, entropy: tuple[int, int, int]
    ) -> StepBatch:
        # Without shards of their own, gradients are summed worker by worker.
        num_shards = self._config.reduction_shards or self._group.world_size
        global_tokens, _ = self._split.tokens_of(rows)
        shards = []
        for number in self._group.own_shards(num_shards):
            own = share(rows, self._split.labels, rank=number, world_size=num_shards)
            # Longest first: another order would be another order of sums, so other last bits.
            own = own[np.argsort(-self._lengths[own], kind="stable")]
            batch = self._make_batch(own, num_rows=-(-len(rows) // num_shards))
            loss_weights = batch.weights
            if self._class_weights is not None:
                loss_weights = batch.weights * self._class_weights[1][batch.labels]
            shard = Shard(
                number,
                active=self._active_rows_of(global_tokens, batch.token_ids),
                lengths=batch.lengths,
                labels=batch.labels,
                weights=batch.weights,
                loss_weights=loss_weights,
                num_tokens=int(self._lengths[own].sum()),
                dropout_seed=_dropout_seed(*entropy, number),
            )
            shards.append(shard)
        return StepBatch(
            tuple(shards),
            num_rows=len(rows),
            loss_weight=self._loss_weight(rows),
            data_s=time.perf_counter() - started,
        )

    def _loss_weight(self, rows: npt.NDArray[np.int64]) -> float:
        if self._class_weights is None:
            return float(len(rows))
        return float(self._class_weights[0][self._split.labels[rows]].sum())


def _dropout_seed(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
