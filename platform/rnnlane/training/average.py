"""The exponential moving average of the weights, which is what ``training.ema`` serves."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from rnnlane.models.classifier import RecurrentClassifier


class WeightAverage:
    """Follows a model's weights: ``average <- decay_t * average + (1 - decay_t) * weights``.

    After t updates, decay_t is ``min(decay, (1 + t) / (10 + t))``, so that the initial weights are
    soon forgotten: the warm-up of TensorFlow's ``ExponentialMovingAverage``. Weights of words that
    a step does not use are averaged as well, because the optimizer moves them too.

    The whole average takes the place of the model where that is scored or kept, so training never
    has to put other weights into the model. It is at fixed addresses and does not ask the device.

    Args:
        model: is followed; the average starts with its weights.
        decay: in (0, 1).

    Attributes:
        model: has the averaged weights.
        num_updates: t, a number on the model's device.
    """

    def __init__(self, model: RecurrentClassifier, decay: float):
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay
        self.num_updates = torch.zeros((), device=model.embedding.weight.device)
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._followed: list[Tensor] = list(model.parameters())
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update_(self, skipped: Tensor) -> None:
        """Follows one step.

        Args:
            skipped: a number; 1 if the step has changed nothing, so that this changes nothing
                either, else 0.
        """
        self.num_updates += 1.0 - skipped
        warm_up = (1.0 + self.num_updates) / (10.0 + self.num_updates)
        # Torch's annotation lacks tensors of one number, which need not be asked for.
        share: Any = (1.0 - warm_up.clamp(max=self._decay)) * (1.0 - skipped)
        torch._foreach_lerp_(self._averaged, self._followed, [share] * len(self._averaged))
        for averaged, followed in self._buffers:
            averaged.copy_(followed)
