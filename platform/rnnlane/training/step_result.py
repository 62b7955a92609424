"""What a step reports: the numbers summed over the workers, and when they reach the host."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PARTS = ("forward_backward", "communication", "optimizer")


# Loss, correct, save, num_tokens, num_positions: the first fields of StepResult.
NUM_COUNTERS = 5


@dataclass(frozen=True)
class StepResult:
    """The outcome of one step, over all workers.

    Attributes:
        loss: mean cross-entropy over the rows of the global batch, each with the weight of its
            class, before the update.
        correct: rows of the global batch that were classified correctly, before the update.
        save: whether a worker asked for a checkpoint after this step.
        num_tokens: tokens of the global batch.
        num_positions: the same, padding included.
        norm: gradient norm before clipping.
        skipped: whether the update was skipped because the loss or the norm was not finite.
        num_rows: rows of the global batch.
        loss_weight: sum of their weights; num_rows without class weights.
        seconds: this worker's time by part: data, forward_backward, communication, optimizer; the
            last three on a GPU as measured by the device.
    """

    loss: float
    correct: float
    save: bool
    num_tokens: float
    num_positions: float
    norm: float
    skipped: bool
    num_rows: int
    loss_weight: float
    seconds: Mapping[str, float]


class LaunchedStep:
    """A step that the device may still be working on.

    Created right after the step's last operation was launched.

    Args:
        values: float32 [7], on the device: the summed counters, the norm, and 1 if skipped. The
            next step may overwrite it.
        marks: the times between which the parts of the step lie; see :func:`mark`.
        num_rows: rows of the global batch.
        loss_weight: sum of the weights of these rows in the loss; default: num_rows.
        data_s: seconds that making the batch took.
    """

    def __init__(
        self,
        values: Tensor,
        marks: Sequence[Any],
        *,
        num_rows: int,
        data_s: float,
        loss_weight: float | None = None,
    ):
        self._values = values.to("cpu", copy=True, non_blocking=True)
        self._arrived = mark(values.device)
        self._marks = marks
        self._num_rows = num_rows
        self._loss_weight = float(num_rows) if loss_weight is None else loss_weight
        self._data_s = data_s

    def result(self) -> StepResult:
        """The outcome; waits until the device has finished the step."""
        if isinstance(self._arrived, torch.cuda.Event):
            self._arrived.synchronize()
        loss, correct, save, num_tokens, num_positions, norm, skipped = self._values.tolist()
        seconds = {"data": self._data_s}
        for part, start, end in zip(PARTS, self._marks[:-1], self._marks[1:], strict=True):
            seconds[part] = _seconds_between(start, end)
        return StepResult(
            loss=loss,
            correct=correct,
            save=save > 0,
            num_tokens=num_tokens,
            num_positions=num_positions,
            norm=norm,
            skipped=skipped > 0,
            num_rows=self._num_rows,
            loss_weight=self._loss_weight,
            seconds=seconds,
        )


def mark(device: torch.device) -> Any:
    """The present moment: seconds on a CPU; on a GPU an event after all work launched so far."""
    if device.type != "cuda":
        return time.perf_counter()
    event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _seconds_between(start: Any, end: Any) -> float:
    if isinstance(start, torch.cuda.Event):
        return float(start.elapsed_time(end)) / 1e3
    return float(end - start)
