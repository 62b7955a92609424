"""The batch plan of an epoch -> the tensors of one worker, step by step.

The rows are held in memory, or are read from shards window by window: the loop only iterates over
:class:`StepBatch`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.training import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.plan import share
from rnnlane.data.batches.streamed import StepRows, StreamedSplit
from rnnlane.data.batches.unlabeled import UnlabeledRows
from rnnlane.training.active_rows import ActiveRowIndex
from rnnlane.training.ahead import made_ahead
from rnnlane.training.group import WorkerGroup
from rnnlane.training.inputs import FEW, NO_LABEL, SMALLEST, Inputs, Shape, ShapeRule, round_up
from rnnlane.training.train_rows import train_rows

# Steps that are made while a GPU works: enough to level out those that take longer to make.
STEPS_AHEAD = 4


@dataclass(frozen=True)
class Shard:
    """The rows of a step that go through the model together.

    Attributes:
        number: which of the global batch's shards it is.
        shape: of its tensors.
        packed: int64 [shape.num_entries], what it consists of; on the host, where a GPU is used in
            pinned memory.
        inputs: views of it.
        entropy: seed, epoch, step and shard.
    """

    number: int
    shape: Shape
    packed: Tensor
    inputs: Inputs
    entropy: tuple[int, int, int, int]

    @property
    def dropout_seed(self) -> int:
        """Of the dropout masks: a function of where the run stands, so no random state is saved."""
        return int(np.random.SeedSequence(self.entropy).generate_state(1, np.uint64)[0])


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
    """Steps over a train split.

    Every worker has all rows of a step (one copy per node), so each can compute which tokens the
    other workers use in it without asking them. Where a GPU is used, a thread makes the next steps
    while it works.

    Args:
        split: the rows, in memory or in shards.
        config: batch size, shards and buckets.
        seed: of the batch plan and of dropout.
        vocabulary_size: V.
        group: the workers.
        class_weights: float32 [C], by label.
        hasher: finds the n-grams of a model that has some.
        unlabeled: texts for ``training.adversarial.unlabeled``.
        shape_rule: default: few shapes on a device, the smallest on a CPU.
    """

    def __init__(  # noqa: PLR0913 - what a run has, and nothing else has together
        self,
        split: EncodedSplit | StreamedSplit,
        config: TrainingConfig,
        *,
        seed: int,
        vocabulary_size: int,
        group: WorkerGroup,
        class_weights: npt.NDArray[np.float32] | None = None,
        hasher: NgramHasher | None = None,
        unlabeled: EncodedSplit | None = None,
        shape_rule: ShapeRule | None = None,
    ):
        self._split = split
        self._config = config
        self._seed = seed
        self._group = group
        self._class_weights = class_weights
        default = SMALLEST if group.device.type == "cpu" else FEW
        self._rule = shape_rule or default
        self._uses_gpu = group.device.type == "cuda"
        self._index = ActiveRowIndex(vocabulary_size)
        self._hasher = hasher
        self._buckets = ActiveRowIndex(0 if hasher is None else 2**hasher.bits)
        self._rows = train_rows(split, config, seed=seed)
        self._unlabeled: UnlabeledRows | None = None
        if unlabeled is not None and config.adversarial is not None:
            size = config.adversarial.unlabeled
            self._unlabeled = UnlabeledRows(
                unlabeled, rows_a_step=size, num_steps=self.num_steps, seed=seed
            )

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, over all workers."""
        return len(self._split)

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._split) // self._config.global_batch_size)

    @property
    def row_order(self) -> str | None:
        """What decides the order of the rows beside the batch plan; None: nothing does."""
        return self._rows.order_id

    def steps(self, epoch: int, *, start: int = 0) -> Iterator[StepBatch]:
        """The steps of an epoch, beginning with step ``start``."""
        made = self._made_steps(epoch, start)
        return made_ahead(made, depth=STEPS_AHEAD) if self._uses_gpu else made

    def expect(self, epoch: int) -> None:
        """Says which epoch will be asked for first: it may be planned from now on."""
        self._rows.expect(epoch)

    def close(self) -> None:
        """Ends what goes on beside the steps."""
        self._rows.close()

    def _made_steps(self, epoch: int, start: int) -> Iterator[StepBatch]:
        started = time.perf_counter()
        with closing(self._rows.steps(epoch, start)) as steps:
            for number, step in enumerate(steps, start=start):
                yield self._step_batch(step, started, (self._seed, epoch, number))
                started = time.perf_counter()

    def _step_batch(
        self, step: StepRows, started: float, entropy: tuple[int, int, int]
    ) -> StepBatch:
        # Without shards of their own, gradients are summed worker by worker.
        num_shards = self._config.reduction_shards or self._group.world_size
        _, epoch, number = entropy
        unlabeled = None if self._unlabeled is None else self._unlabeled.of_step(epoch, number)
        batch = _GlobalBatch(step, unlabeled, self._hasher)
        ids = self._index.find(batch.tokens)
        buckets = ids[:0] if batch.ngrams is None else self._buckets.find(batch.ngrams)
        loss_weight = self._loss_weight(batch.labels[: batch.num_labeled])
        shards = []
        for number in self._group.own_shards(num_shards):
            own = batch.share(number, num_shards)
            # Longest first: another order would be another order of sums, so other last bits.
            own = own[np.argsort(-batch.lengths[own], kind="stable")]
            shape = self._shape(batch, own, num_ids=len(ids), num_shards=num_shards)
            shape = self._with_ngrams(shape, batch, own, num_buckets=len(buckets))
            packed = torch.empty(shape.num_entries, dtype=torch.int64, pin_memory=self._uses_gpu)
            inputs = shape.views(packed)
            self._fill(inputs, batch, own, ids)
            if batch.ngrams is not None:
                self._fill_ngrams(inputs, batch.ngrams[own], buckets)
            inputs.describe(
                loss_weight=loss_weight,
                num_tokens=int(batch.lengths[own].sum()),
                num_unlabeled=batch.num_unlabeled,
            )
            shards.append(Shard(number, shape, packed, inputs, entropy=(*entropy, number)))
        return StepBatch(
            tuple(shards),
            num_rows=len(step.rows),
            loss_weight=loss_weight,
            data_s=time.perf_counter() - started,
        )

    def _shape(
        self, batch: _GlobalBatch, own: npt.NDArray[np.int64], *, num_ids: int, num_shards: int
    ) -> Shape:
        rule = self._rule
        if rule.is_uniform:
            full = min(self._config.global_batch_size, len(self._split))
            num_labeled, longest = full, int(batch.lengths.max())
        else:
            num_labeled = batch.num_labeled
            longest = int(batch.lengths[own[0]]) if len(own) else 1
        num_rows = sum(-(-num // num_shards) for num in (num_labeled, batch.num_unlabeled))
        return Shape(num_rows, round_up(longest, rule.width_step), rule.num_ids(num_ids))

    def _with_ngrams(
        self, shape: Shape, batch: _GlobalBatch, own: npt.NDArray[np.int64], *, num_buckets: int
    ) -> Shape:
        if batch.ngrams is None or self._hasher is None:
            return shape
        if self._rule.is_uniform:
            # The most that so many positions can have: no more shapes than there are widths.
            most = shape.width * self._hasher.max_words
        else:
            most = max(1, int(np.count_nonzero(batch.ngrams[own], axis=1).max(initial=0)))
        return shape._replace(num_ngrams=most, num_buckets=self._rule.num_ids(num_buckets))

    def _fill_ngrams(
        self, inputs: Inputs, ngrams: npt.NDArray[np.int64], buckets: npt.NDArray[np.int64]
    ) -> None:
        """Writes the n-grams of some rows; padding rows have none."""
        inputs.buckets.numpy()[: len(buckets)] = buckets
        inputs.buckets.numpy()[len(buckets) :] = 0
        places = inputs.ngrams.numpy()
        width = min(ngrams.shape[1], places.shape[1])
        places[: len(ngrams), :width] = self._buckets.positions(ngrams[:, :width])
        places[: len(ngrams), width:] = 0
        places[len(ngrams) :] = 0

    def _fill(
        self,
        inputs: Inputs,
        batch: _GlobalBatch,
        own: npt.NDArray[np.int64],
        ids: npt.NDArray[np.int64],
    ) -> None:
        """Writes some rows of a batch; padding rows have one token, as no row may be empty."""
        num_own = len(own)
        inputs.ids.numpy()[: len(ids)] = ids
        inputs.ids.numpy()[len(ids) :] = 0
        positions = inputs.positions.numpy()
        width = min(batch.tokens.shape[1], positions.shape[1])
        positions[:num_own, :width] = self._index.positions(batch.tokens[own, :width])
        positions[:num_own, width:] = 0
        positions[num_own:] = 0
        lengths, labels = inputs.lengths.numpy(), inputs.labels.numpy()
        lengths[:num_own], lengths[num_own:] = batch.lengths[own], 1
        labels[:num_own], labels[num_own:] = batch.labels[own], 0
        weights, loss_weights = inputs.weights.numpy(), inputs.loss_weights.numpy()
        weights[:num_own], weights[num_own:] = 1.0, 0.0
        loss_weights[:] = weights * (labels != NO_LABEL)
        if self._class_weights is not None:
            loss_weights *= self._class_weights[np.maximum(labels, 0)]

    def _loss_weight(self, labels: npt.NDArray[np.int64]) -> float:
        if self._class_weights is None:
            return float(len(labels))
        return float(self._class_weights[labels].sum())


class _GlobalBatch:
    """The rows of a step, over all workers: those with a label first.

    Attributes:
        num_labeled: R.
        num_unlabeled: rows behind those.
        labels: int64 [rows]; ``NO_LABEL`` of those without one.
        lengths: int64 [rows].
        tokens: int64 [rows, longest], padded with 0.
        ngrams: int64 [rows, most], the distinct buckets of each row, padded with 0; none of rows
            without a label. None without a hasher.
    """

    def __init__(self, step: StepRows, unlabeled: EncodedSplit | None, hasher: NgramHasher | None):
        split, rows = step.split, step.rows
        self.num_labeled = len(rows)
        self.num_unlabeled = 0 if unlabeled is None else len(unlabeled)
        self.ngrams = None
        if hasher is not None:
            self.ngrams = np.pad(hasher.padded(split.take(rows)), [(0, self.num_unlabeled), (0, 0)])
        self.labels = split.labels[rows]
        self.lengths = split.offsets[rows + 1] - split.offsets[rows]
        if unlabeled is not None:
            self.labels = np.append(self.labels, np.full(self.num_unlabeled, NO_LABEL))
            self.lengths = np.append(self.lengths, unlabeled.lengths)
        width = int(self.lengths.max())
        self.tokens = _padded(split, rows, width)
        if unlabeled is not None:
            others = _padded(unlabeled, np.arange(self.num_unlabeled), width)
            self.tokens = np.concatenate([self.tokens, others])

    def share(self, number: int, num_shards: int) -> npt.NDArray[np.int64]:
        """The rows of a shard."""
        labels = self.labels[: self.num_labeled]
        labeled = share(np.arange(len(labels)), labels, rank=number, world_size=num_shards)
        unlabeled = np.arange(number, self.num_unlabeled, num_shards)
        return np.concatenate([labeled, self.num_labeled + unlabeled])


def _padded(split: EncodedSplit, rows: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    """The tokens of some rows: int64 [N, width], padded with 0."""
    starts = split.offsets[rows, np.newaxis]
    columns = np.arange(width)
    places = starts + columns
    np.minimum(places, len(split.token_ids) - 1, out=places)
    # As indices, which numpy would otherwise convert to int64 at each use.
    tokens: npt.NDArray[np.int64] = split.token_ids[places].astype(np.int64)
    tokens[columns >= split.offsets[rows + 1, np.newaxis] - starts] = 0
    return tokens
