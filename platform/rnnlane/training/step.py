"""One optimizer step: forward, loss, backward, all-reduce, clip, update.

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
from rnnlane.training.all_reduce import all_reduce_
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.feed import StepBatch
from rnnlane.training.group import WorkerGroup
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
        rows = batch.active.gather(table)  # [U, E]
        counters = self._forward_backward(batch, rows, save=save)
        marks.append(mark(device))

        assert rows.grad is not None
        gradients = [parameter.grad for parameter in self._dense if parameter.grad is not None]
        gradients.append(rows.grad)
        totals = all_reduce_(gradients, counters, group=self._group)
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
        with batch.active.scattered(rows.grad, table):
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

    def _forward_backward(self, batch: StepBatch, rows: Tensor, *, save: bool) -> Tensor:
        """Leaves this worker's part of the gradient in ``.grad``.

        Returns:
            float32 [5], this worker's :func:`local_counters`.
        """
        for parameter in self._dense:
            parameter.grad = None
        embedded = batch.active.embed(rows)  # [B, T, E]
        device_type = self._group.device.type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = self._model.body(embedded, batch.lengths)  # [B, C]
        losses = functional.cross_entropy(logits.float(), batch.labels, reduction="none")  # [B]
        # Divided by the weight of the global batch: summed over the workers, it is their mean loss.
        loss = (losses * batch.loss_weights).sum() / batch.loss_weight
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return local_counters(
                loss.detach(),
                ((logits.argmax(dim=1) == batch.labels) * batch.weights).sum(),
                wants_checkpoint=save and self._group.is_first,
                num_tokens=batch.num_tokens,
                num_positions=batch.active.positions.numel(),
            )


def uses_bfloat16(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the forward pass runs under bfloat16 autocast."""
    if device.type != "cuda" or config.precision == "float32":
        return False
    return config.precision == "bfloat16" or torch.cuda.is_bf16_supported()
