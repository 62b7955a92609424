"""One optimizer step: forward, loss, backward, exchange, clip, update.

Nothing in it waits for a GPU: whether the update is skipped is decided on the device, and the
step's result travels to the host while the next steps are launched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.experiment import TrainingConfig
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.training.all_reduce import all_reduce_, flatten, sum_in_order, unflatten_
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.feed import Shard, StepBatch
from rnnlane.training.group import WorkerGroup
from rnnlane.training.precision import uses_bfloat16
from rnnlane.training.step_result import LaunchedStep, local_counters, mark

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def build_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over all parameters, with torch's fused kernels."""
    options: dict[str, float | bool] = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    kind: Any = OPTIMIZERS[config.optimizer]
    optimizer: torch.optim.Optimizer = kind(model.parameters(), lr=config.learning_rate, **options)
    if config.optimizer == "sgd" and config.momentum > 0:
        # Torch creates them in the first step, and leaves them uninitialized if it is skipped.
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
        self._num_shards = config.reduction_shards
        self._dense = [
            parameter for parameter in model.body.parameters() if parameter.requires_grad
        ]
        self._autocast = uses_bfloat16(config, group.device)
        # The optimizer gets a dense gradient on purpose: a lazy rule would not decay the moments of
        # inactive rows, which is another optimizer.
        model.embedding.weight.grad = torch.zeros_like(model.embedding.weight)

    def __call__(
        self, batch: StepBatch, *, max_norm: float | None, rate: float, save: bool = False
    ) -> LaunchedStep:
        """Launches one step.

        Args:
            batch: this worker's rows.
            max_norm: clip value; None does not clip.
            rate: learning rate.
            save: whether this worker asks for a checkpoint; only the first worker's request counts,
                and all workers see it in the step's result.
        """
        device, table = self._group.device, self._model.embedding.weight
        marks = [mark(device)]
        active = batch.shards[0].active
        rows = active.gather(table)  # [U, E]
        flat = {}
        for shard in batch.shards:
            counters = self._forward_backward(shard, rows, loss_weight=batch.loss_weight, save=save)
            gradients = [part.grad for part in (*self._dense, rows) if part.grad is not None]
            if self._num_shards is not None:
                flat[shard.number] = flatten(gradients, counters)
        marks.append(mark(device))

        if self._num_shards is None:
            totals = all_reduce_(gradients, counters, group=self._group)
        else:
            total = sum_in_order(flat, num_shards=self._num_shards, group=self._group)
            totals = unflatten_(total, gradients)
        marks.append(mark(device))

        norm = gradient_norm(gradients, norm_type=self._norm_type)
        skipped = (~(totals[0].isfinite() & norm.isfinite())).float()
        if max_norm is not None:
            clip_([*self._dense, rows], norm, max_norm=max_norm)
        for param_group in self._optimizer.param_groups:
            param_group["lr"] = rate
        # torch.amp.GradScaler's way to skip a step without asking the device: the fused kernels
        # read this tensor, and where it is 1 they change neither weights nor moments.
        self._optimizer.found_inf = skipped  # type: ignore[attr-defined]
        assert rows.grad is not None
        with active.scattered(rows.grad, table):
            self._optimizer.step()
        marks.append(mark(device))
        values = torch.cat([totals, torch.stack([norm, skipped])])
        return LaunchedStep(
            values,
            marks,
            num_rows=batch.num_rows,
            loss_weight=batch.loss_weight,
            data_s=batch.data_s,
        )

    def _forward_backward(
        self, shard: Shard, rows: Tensor, *, loss_weight: float, save: bool
    ) -> Tensor:
        """Leaves the shard's part of the gradient in ``.grad``.

        Returns:
            float32 [5], the shard's :func:`local_counters`.
        """
        for parameter in (*self._dense, rows):
            parameter.grad = None
        if self._model.body.has_dropout:
            torch.manual_seed(shard.dropout_seed)
        embedded = shard.active.embed(rows)  # [B, T, E]
        device_type = self._group.device.type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = self._model.body(embedded, shard.lengths)  # [B, C]
        losses = functional.cross_entropy(logits.float(), shard.labels, reduction="none")  # [B]
        # Divided by the weight of the global batch: summed over all shards, it is their mean loss.
        loss = (losses * shard.loss_weights).sum() / loss_weight
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return local_counters(
                loss.detach(),
                ((logits.argmax(dim=1) == shard.labels) * shard.weights).sum(),
                wants_checkpoint=save and self._group.is_first,
                num_tokens=shard.num_tokens,
                num_positions=shard.active.positions.numel(),
            )
