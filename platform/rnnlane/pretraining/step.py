"""One optimizer step of a language model: a piece of each stream, with the state carried on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rnnlane.config.training import TrainingConfig
from rnnlane.pretraining.feed import LanguageFeed, LanguageStep, Piece
from rnnlane.pretraining.language_model import LanguageModel
from rnnlane.pretraining.softmax import full_losses, sampled_losses
from rnnlane.training import active_rows
from rnnlane.training.all_reduce import GradientBuffer, StepGradient
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.group import WorkerGroup
from rnnlane.training.step_result import NUM_COUNTERS, LaunchedStep, mark


class LanguageStepper:
    """Takes steps on one worker's replica; see ``training.step.Stepper`` for how they add up.

    Args:
        model: its parameters get gradients.
        optimizer: over them; a checkpoint has been loaded into both.
        config: the clipping.
        feed: where steps come from.
        group: the workers.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        *,
        feed: LanguageFeed,
        group: WorkerGroup,
    ):
        self._model, self._optimizer, self._group = model, optimizer, group
        self._norm_type = norm_order(config.clip)
        self._table = model.embedding.weight
        self._body = list(model.readers.parameters())
        self._gradients = GradientBuffer(
            self._body, [self._table], max_rows=[len(self._table)], num_counters=NUM_COUNTERS
        )
        for parameter, gradient in zip(self._body, self._gradients.body, strict=True):
            parameter.grad = gradient
        # Dense, as in training.step: moments of rows that are not in use decay too.
        self._table.grad = torch.zeros_like(self._table)
        self._log_expected: Tensor | None = None
        if feed.sampler is not None:
            logs = torch.from_numpy(feed.sampler.log_probabilities).to(group.device)
            self._log_expected = logs + math.log(feed.num_sampled)
        self._own = feed.own
        self._states = self.stored_states()

    def stored_states(self) -> list[Tensor]:
        """This worker's streams as a checkpoint left them, by direction."""
        model = self._model
        return [model.carried(name)[:, :, self._own].clone() for name in model.directions]

    def restart_streams(self) -> None:
        """Forgets what was read, as at the start of an epoch."""
        for state in self._states:
            state.zero_()

    def store_states(self) -> None:
        """Puts the states of all streams into the model, for a checkpoint; all workers call it."""
        for name, state in zip(self._model.directions, self._states, strict=True):
            carried = self._model.carried(name)
            carried.zero_()
            carried[:, :, self._own] = state
            self._group.sum_(carried)

    def __call__(
        self, step: LanguageStep, *, max_norm: float | None, rate: float, save: bool = False
    ) -> LaunchedStep:
        """Launches one step; see ``training.step.Stepper``."""
        device = self._group.device
        marks = [mark(device)]
        gradient = self._gradients.of(len(step.ids))
        torch.manual_seed(step.dropout_seed)
        self._forward_backward(step, gradient, save=save and self._group.is_first)
        marks.append(mark(device))
        self._group.sum_(gradient.whole)
        marks.append(mark(device))
        result = self._update(step, gradient, max_norm=max_norm, rate=rate)
        marks.append(mark(device))
        return LaunchedStep(
            result,
            marks,
            num_rows=step.num_tokens,
            loss_weight=float(step.num_tokens),
            data_s=step.data_s,
        )

    def _forward_backward(self, step: LanguageStep, gradient: StepGradient, *, save: bool) -> None:
        rows = active_rows.gather(self._table, step.ids)  # [U, E]
        losses = torch.zeros((), device=rows.device)
        num_tokens = torch.zeros((), device=rows.device)
        for number, (name, piece) in enumerate(
            zip(self._model.directions, step.pieces, strict=True)
        ):
            embedded = active_rows.embed(rows, piece.inputs)  # [B, T, E]
            features, state = self._model.read(name, embedded, self._states[number])
            # What is not finite must not be carried on: the step is skipped.
            self._states[number] = state.nan_to_num_(0.0, 0.0, 0.0)
            losses = losses + (self._losses(features, piece, step, rows) * piece.weights).sum()
            num_tokens = num_tokens + piece.weights.sum()
        loss = losses / step.num_tokens
        found = torch.autograd.grad(loss, [*self._body, rows], materialize_grads=True)
        with torch.no_grad():
            torch._foreach_copy_(gradient.parts, found)
            zero = torch.zeros_like(num_tokens)
            counters = [loss.detach(), zero, zero + float(save), num_tokens, num_tokens]
            gradient.counters.copy_(torch.stack(counters))

    def _losses(self, features: Tensor, piece: Piece, step: LanguageStep, rows: Tensor) -> Tensor:
        if piece.samples is None:
            return full_losses(features, rows, self._model.bias, piece.targets)
        assert self._log_expected is not None
        return sampled_losses(
            features,
            piece.targets,
            piece.samples,
            rows=rows,
            bias=self._model.bias[step.ids],
            log_expected=self._log_expected[step.ids],
        )

    @torch.no_grad()
    def _update(
        self, step: LanguageStep, gradient: StepGradient, *, max_norm: float | None, rate: float
    ) -> Tensor:
        norm = gradient_norm(gradient.parts, norm_type=self._norm_type)
        skipped = (~(gradient.counters[0].isfinite() & norm.isfinite())).float()
        limit = torch.full_like(norm, math.inf if max_norm is None else max_norm)
        clip_(gradient.parts, norm, max_norm=limit)
        for param_group in self._optimizer.param_groups:
            param_group["lr"] = rate
        # The fused kernels change nothing where this is 1.
        self._optimizer.found_inf = skipped  # type: ignore[attr-defined]
        with active_rows.scattered(gradient.rows[0], self._table, step.ids):
            self._optimizer.step()
        return torch.cat([gradient.counters, torch.stack([norm, skipped])])
