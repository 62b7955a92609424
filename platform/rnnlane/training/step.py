"""One optimizer step: forward, loss, backward, exchange, clip, update.

Nothing in it waits for a GPU: whether the update is left out is decided there, and what the step
found is on its way to the host while the next steps are launched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.experiment import TrainingConfig
from rnnlane.data.batches.tensors import send
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.training.all_reduce import exchange_
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.feed import StepBatch
from rnnlane.training.group import WorkerGroup

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
PARTS = ("forward_backward", "communication", "optimizer")


@dataclass(frozen=True)
class StepResult:
    """What one step found, summed over the workers.

    Attributes:
        loss: mean cross-entropy over the rows of the global batch, before the update.
        correct: rows of the global batch classified rightly, before the update.
        save: whether the first worker asked for a checkpoint after this step.
        num_tokens: tokens of the global batch.
        num_positions: the same with padding.
        norm: gradient norm before clipping.
        skipped: whether the update was left out because loss or norm was not finite.
        seconds: this worker's time by part: forward_backward, communication, optimizer; on a GPU
            the device's.
    """

    loss: float
    correct: float
    save: bool
    num_tokens: float
    num_positions: float
    norm: float
    skipped: bool
    seconds: Mapping[str, float]


class LaunchedStep:
    """A step that the device may still be at.

    Made right after the step's last operation was launched; ``found`` is float32 [7]: loss,
    correct, save, num_tokens, num_positions, norm, skipped.
    """

    def __init__(self, found: Tensor, marks: list[Any]):
        self._found = found.to("cpu", non_blocking=True)
        self._marks = marks
        self._arrived = _mark(found.device)

    def result(self) -> StepResult:
        """What it found; waits until the device has done it."""
        if isinstance(self._arrived, torch.cuda.Event):
            self._arrived.synchronize()
        loss, correct, save, num_tokens, num_positions, norm, skipped = self._found.tolist()
        return StepResult(
            loss=loss,
            correct=correct,
            save=save > 0,
            num_tokens=num_tokens,
            num_positions=num_positions,
            norm=norm,
            skipped=skipped > 0,
            seconds={
                part: _seconds_between(*self._marks[index : index + 2])
                for index, part in enumerate(PARTS)
            },
        )


def build_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over all parameters; one fused kernel updates each."""
    options: dict[str, float | bool] = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    kind: Any = OPTIMIZERS[config.optimizer]
    optimizer: torch.optim.Optimizer = kind(model.parameters(), lr=config.learning_rate, **options)
    if config.optimizer == "sgd" and config.momentum > 0:
        # torch makes them in the first step, and leaves them unset if that one is left out.
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class Stepper:
    """Takes optimizer steps on one worker's replica of the model."""

    def __init__(
        self,
        model: RecurrentClassifier,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        *,
        group: WorkerGroup,
    ):
        self._model = model
        self._optimizer = optimizer
        self._group = group
        self._norm_type = norm_order(config.clip)
        self._dense = [
            parameter for parameter in model.body.parameters() if parameter.requires_grad
        ]
        self._autocast = uses_bfloat16(config, group.device)
        table = model.embedding.weight
        # Dense on purpose: a lazy rule would leave the moments of untouched rows as they are, which
        # is another optimizer. Only the touched rows are written, and cleared again, each step.
        table.grad = torch.zeros_like(table)

    def __call__(
        self, step: StepBatch, *, max_norm: float | None, rate: float, save: bool = False
    ) -> LaunchedStep:
        """Launches one step.

        Args:
            step: this worker's rows.
            max_norm: clip value; None does not clip.
            rate: learning rate.
            save: this worker wants a checkpoint; the first worker's wish is heard by all.
        """
        device = self._group.device
        marks = [_mark(device)]
        rows = self._model.embedding.weight.detach()[step.touched].requires_grad_()
        counters = self._forward_backward(step, rows, save=save)
        marks.append(_mark(device))

        assert rows.grad is not None
        gradients = [parameter.grad for parameter in self._dense if parameter.grad is not None]
        totals = exchange_([*gradients, rows.grad], counters, group=self._group)
        marks.append(_mark(device))

        norm = gradient_norm([*gradients, rows.grad], norm_type=self._norm_type)
        skipped = (~(totals[0].isfinite() & norm.isfinite())).float()
        if max_norm is not None:
            clip_([*self._dense, rows], norm, max_norm=max_norm)
        self._update(step.touched, rows.grad, rate=rate, skipped=skipped)
        marks.append(_mark(device))
        return LaunchedStep(torch.cat([totals, torch.stack([norm, skipped])]), marks)

    def _forward_backward(self, step: StepBatch, rows: Tensor, *, save: bool) -> Tensor:
        """Leaves this worker's part of the gradient in ``.grad``.

        Returns:
            float32 [5]: this worker's part of the global loss, rows classified rightly, whether
            it wants a checkpoint, tokens, and token positions with padding.
        """
        device = self._group.device
        for parameter in self._dense:
            parameter.grad = None
        batch = step.batch
        embedded = functional.embedding(batch.token_ids, rows)  # [B, T, E]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = self._model.body(embedded, batch.lengths)  # [B, C]
        losses = functional.cross_entropy(logits.float(), batch.labels, reduction="none")  # [B]
        loss = (losses * batch.weights).sum() / step.num_rows
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            correct = ((logits.argmax(dim=1) == batch.labels) * batch.weights).sum()
            known = [save and self._group.is_first, step.num_tokens, batch.token_ids.numel()]
            found = torch.stack([loss.detach(), correct])
            return torch.cat([found, send(torch.tensor(known, dtype=torch.float32), device)])

    def _update(self, touched: Tensor, gradient: Tensor, *, rate: float, skipped: Tensor) -> None:
        table_gradient = self._model.embedding.weight.grad
        assert table_gradient is not None
        table_gradient.index_copy_(0, touched, gradient)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # What torch's GradScaler tells the fused kernels by: at 1 they leave all as it is.
        self._optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self._optimizer.step()
        table_gradient.index_fill_(0, touched, 0.0)


def uses_bfloat16(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast."""
    if device.type != "cuda" or config.precision == "float32":
        return False
    return config.precision == "bfloat16" or torch.cuda.is_bf16_supported()


def _mark(device: torch.device) -> Any:
    """Now: in seconds, or where the device is when it has done what was launched so far."""
    if device.type != "cuda":
        return time.perf_counter()
    event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _seconds_between(start: Any, end: Any) -> float:
    if isinstance(start, torch.cuda.Event):
        return float(start.elapsed_time(end)) / 1e3
    return float(end - start)
