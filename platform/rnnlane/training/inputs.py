"""What a step reads: one packed array on the host, which one copy takes to the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlane.data.batches.tensors import WIDTH_STEP_ON_GPUS

# With few shapes, torch uses memory again, and graphs are captured for each.
IDS_STEP_ON_DEVICES = 1024
# Where torch's cross-entropy has no loss.
NO_LABEL = -100
# Float32 numbers at the start of the array: as many as its first four entries hold.
_NUM_SETTINGS = 8


class Shape(NamedTuple):
    """The shape of a shard's tensors. All else in a step has one shape for the whole run.

    Attributes:
        num_rows: B, padding rows included.
        width: W, positions of a row.
        num_ids: U, active rows of the embedding table, padding included.
        num_ngrams: G, n-grams of a row; 0 without ``model.ngrams``.
        num_buckets: N, active buckets of n-grams, padding included; 0 without.
    """

    num_rows: int
    width: int
    num_ids: int
    num_ngrams: int = 0
    num_buckets: int = 0

    @property
    def num_entries(self) -> int:
        """Entries of the packed array."""
        return sum(self._sizes())

    def _sizes(self) -> list[int]:
        floats = -(-self.num_rows // 2)
        positions = self.num_rows * self.width
        entries = (self.num_ids, positions, self.num_rows, self.num_rows, floats, floats)
        ngrams = (self.num_buckets, self.num_rows * self.num_ngrams)
        return [_NUM_SETTINGS // 2, *entries, *ngrams]

    def views(self, packed: Tensor) -> Inputs:
        """The inputs that an array holds.

        Args:
            packed: int64 [num_entries], on any device; what is written to the views is in it.
        """
        settings, ids, positions, lengths, labels, *floats, buckets, ngrams = (
            torch.split_with_sizes(packed, self._sizes())
        )
        weights, loss_weights = (part.view(torch.float32)[: self.num_rows] for part in floats)
        return Inputs(
            settings=settings.view(torch.float32),
            ids=ids,
            positions=positions.view(self.num_rows, self.width),
            lengths=lengths,
            labels=labels,
            weights=weights,
            loss_weights=loss_weights,
            buckets=buckets,
            ngrams=ngrams.view(self.num_rows, self.num_ngrams),
        )


class Inputs(NamedTuple):
    """The tensors of a shard: the rows of a step that go through the model together.

    Attributes:
        settings: float32 [8], the single numbers; read them by the properties.
        ids: int64 [U], the sorted distinct token ids of the *global* batch, padding (0) first and
            repeated behind the last one. All workers have the same, so that their gradients can be
            summed elementwise.
        positions: int64 [B, W], for each token its position among the ids; padding is 0.
        lengths: int64 [B], tokens of each row, at least 1.
        labels: int64 [B]; ``NO_LABEL`` of a text without one.
        weights: float32 [B], 1 for a real row and 0 for a padding row.
        loss_weights: float32 [B], the same times the weight of the row's class, or 0 without one.
        buckets: int64 [N], the sorted distinct n-gram buckets of the global batch, as ``ids``.
        ngrams: int64 [B, G], for each n-gram of a row its place among the buckets; padding is 0.
    """

    settings: Tensor
    ids: Tensor
    positions: Tensor
    lengths: Tensor
    labels: Tensor
    weights: Tensor
    loss_weights: Tensor
    buckets: Tensor
    ngrams: Tensor

    @property
    def loss_weight(self) -> Tensor:
        """Float32 [], the sum of loss_weights over the global batch."""
        return self.settings[0]

    @property
    def rate(self) -> Tensor:
        """Float32 [], the learning rate."""
        return self.settings[1]

    @property
    def max_norm(self) -> Tensor:
        """Float32 [], the clip value; infinite where nothing is clipped."""
        return self.settings[2]

    @property
    def num_unlabeled(self) -> Tensor:
        """Float32 [], rows of the global batch without a label."""
        return self.settings[6]

    @property
    def counts(self) -> Tensor:
        """Float32 [3]: whether a checkpoint is asked for, tokens, and positions with padding."""
        return self.settings[3:6]

    def describe(self, *, loss_weight: float, num_tokens: int, num_unlabeled: int) -> None:
        """Writes the numbers that are known when the shard is made."""
        settings = self.settings.numpy()
        settings[0] = loss_weight
        settings[4] = num_tokens
        settings[5] = self.positions.numel()
        settings[6] = num_unlabeled

    def decide(self, *, rate: float, max_norm: float, save: bool) -> None:
        """Writes the numbers that are known when the step is launched."""
        settings = self.settings.numpy()
        settings[1], settings[2], settings[3] = rate, max_norm, save


@dataclass(frozen=True)
class ShapeRule:
    """To which shapes the shards of a run are padded: a pure function of the step.

    Attributes:
        width_step: widths are multiples of it.
        ids_step: numbers of active ids are multiples of it; see :meth:`num_ids`.
        is_uniform: whether all shards have as many rows, the last step's too, and those of one step
            are as wide as its longest row; else each is as small as possible.
    """

    width_step: int = 1
    ids_step: int = 1
    is_uniform: bool = False

    def num_ids(self, num_ids: int) -> int:
        """How many ids there are with padding: at most a quarter more than a large number.

        Large batches would otherwise have another number nearly every step.
        """
        step = self.ids_step
        if self.is_uniform:
            step = max(step, 2 ** ((num_ids - 1).bit_length() - 1) // 4 if num_ids > 1 else 1)
        return round_up(num_ids, step)


SMALLEST = ShapeRule()
FEW = ShapeRule(width_step=WIDTH_STEP_ON_GPUS, ids_step=IDS_STEP_ON_DEVICES, is_uniform=True)


def round_up(number: int, step: int) -> int:
    """The smallest multiple of ``step`` that is not below the number."""
    return -(-number // step) * step
