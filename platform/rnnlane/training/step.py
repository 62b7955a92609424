"""One optimizer step: forward, loss, backward, exchange, clip, update."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.experiment import TrainingConfig
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.exchange import exchange_
from rnnlane.training.feed import StepBatch
from rnnlane.training.group import WorkerGroup

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class StepResult:
    """What one step found, summed over the workers.

    Attributes:
        loss: mean cross-entropy over the rows of the global batch, before the update.
        correct: rows of the global batch classified rightly, before the update.
        num_tokens: tokens of the global batch.
        num_positions: the same with padding.
        norm: gradient norm before clipping.
        skipped: whether the update was left out because loss or norm was not finite.
        save: whether the first worker asked for a checkpoint after this step.
        seconds: this worker's time by part: forward_backward, communication, optimizer.
    """

    loss: float
    correct: float
    num_tokens: float
    num_positions: float
    norm: float
    skipped: bool
    save: bool
    seconds: Mapping[str, float]


def build_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over all parameters; one fused kernel updates each."""
    options: dict[str, float | bool] = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    kind: Any = OPTIMIZERS[config.optimizer]
    optimizer: torch.optim.Optimizer = kind(model.parameters(), lr=config.learning_rate, **options)
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
    ) -> StepResult:
        """Takes one step.

        Args:
            step: this worker's rows.
            max_norm: clip value; None does not clip.
            rate: learning rate.
            save: this worker wants a checkpoint; the first worker's wish is heard by all.
        """
        started = time.perf_counter()
        touched = step.touched.to(self._group.device)
        rows = self._model.embedding.weight.detach()[touched].requires_grad_()
        counters = self._forward_backward(step, rows, save=save)
        computed = time.perf_counter()

        assert rows.grad is not None
        gradients = [parameter.grad for parameter in self._dense if parameter.grad is not None]
        totals = exchange_([*gradients, rows.grad], counters, group=self._group)
        exchanged = time.perf_counter()

        norm = gradient_norm([*gradients, rows.grad], norm_type=self._norm_type)
        loss, correct, wishes, tokens, positions = totals.tolist()
        length = norm.item()
        finite = abs(loss) < float("inf") and abs(length) < float("inf")
        if finite:
            if max_norm is not None:
                clip_([*self._dense, rows], norm, max_norm=max_norm)
            self._update(touched, rows.grad, rate)
        return StepResult(
            loss=loss,
            correct=correct,
            num_tokens=tokens,
            num_positions=positions,
            norm=length,
            skipped=not finite,
            save=wishes > 0,
            seconds={
                "forward_backward": computed - started,
                "communication": exchanged - computed,
                "optimizer": time.perf_counter() - exchanged,
            },
        )

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
        labels, weights = batch.labels.to(device), batch.weights.to(device)
        embedded = functional.embedding(batch.token_ids.to(device), rows)  # [B, T, E]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = self._model.body(embedded, batch.lengths)  # [B, C]
        losses = functional.cross_entropy(logits.float(), labels, reduction="none")  # [B]
        loss = (losses * weights).sum() / step.num_rows
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            correct = ((logits.argmax(dim=1) == labels) * weights).sum()
            known = [save and self._group.is_first, step.num_tokens, batch.token_ids.numel()]
            found = torch.stack([loss.detach(), correct])
            return torch.cat([found, torch.tensor(known, dtype=torch.float32, device=device)])

    def _update(self, touched: Tensor, gradient: Tensor, rate: float) -> None:
        table_gradient = self._model.embedding.weight.grad
        assert table_gradient is not None
        table_gradient.index_copy_(0, touched, gradient)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        table_gradient.index_fill_(0, touched, 0.0)


def uses_bfloat16(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast."""
    if device.type != "cuda" or config.precision == "float32":
        return False
    return config.precision == "bfloat16" or torch.cuda.is_bf16_supported()
