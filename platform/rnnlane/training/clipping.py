"""Gradient clipping, and how its value is chosen.

Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
propose clipping by the global norm, at a value derived from its mean over a short run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from rnnlane.config.training import ClipConfig
from rnnlane.errors import TrainingError

QUANTILES = {"p10": 0.10, "p50": 0.50, "p90": 0.90, "p99": 0.99}


@dataclass(frozen=True)
class ClipChoice:
    """The clip value of a run, and the reason for it.

    Attributes:
        max_norm: largest norm allowed; None if nothing is clipped.
        reason: a sentence for people.
        calibration: statistics of the calibration's norms (count, mean, p10 to p99, max); empty
            without a calibration.
    """

    max_norm: float | None
    reason: str
    calibration: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def gradient_norm(gradients: Sequence[Tensor], *, norm_type: float) -> Tensor:
    """The p-norm of all gradients, taken as one vector: float32 []."""
    return get_total_norm(gradients, norm_type=norm_type)


@torch.no_grad()
def clip_(gradients: Sequence[Tensor], norm: Tensor, *, max_norm: Tensor) -> None:
    """Scales gradients, whose norm is ``norm``, down to at most ``max_norm``, in place.

    As :func:`torch.nn.utils.clip_grads_with_norm_`, bit for bit, with a value that a device reads.

    Args:
        gradients: float32.
        norm: float32 [].
        max_norm: float32 []; infinite to change nothing.
    """
    factor = ((norm + 1e-6).reciprocal() * max_norm).clamp(max=1.0)
    torch._foreach_mul_(list(gradients), factor)


def norm_order(config: ClipConfig) -> float:
    """The p of the norm, as a number."""
    return math.inf if config.norm_type == "inf" else float(config.norm_type)


def choose_clip(config: ClipConfig, norms: npt.NDArray[np.float64] | None) -> ClipChoice:
    """The clip value according to the policy.

    Args:
        config: the policy.
        norms: float64 [num_steps], the norms of the unclipped calibration; for policy auto.

    Raises:
        TrainingError: no step of the calibration had a finite, positive gradient norm.
    """
    if config.policy == "none":
        return ClipChoice(None, "policy none: gradients are not clipped", {})
    if config.policy == "fixed":
        return ClipChoice(config.max_norm, f"policy fixed: max_norm {config.max_norm:g}", {})
    assert norms is not None
    finite = norms[np.isfinite(norms)]
    if len(finite) == 0 or finite.max() <= 0:
        raise TrainingError(
            "policy auto needs finite, positive gradient norms, but none of the "
            f"{len(norms)} steps of the calibration had one",
            where="training.clip",
            remedy="lower training.learning_rate, or use policy fixed",
        )
    if config.statistic == "mean":
        value, statistic = float(finite.mean()), "the mean"
    else:
        value = float(np.percentile(finite, config.percentile))
        statistic = f"percentile {config.percentile:g}"
    times = "" if config.of_mean == 1.0 else f"{config.of_mean:.4g} x "
    reason = (
        f"policy auto: {times}{statistic} of {len(finite)} unclipped gradient norms, {value:.4g} "
        f"(median {np.median(finite):.4g}, largest {finite.max():.4g})"
    )
    return ClipChoice(
        config.of_mean * value, reason, {"count": float(len(finite)), **norm_statistics(finite)}
    )


def norm_statistics(norms: npt.NDArray[np.float64]) -> dict[str, float]:
    """Mean, quantiles and maximum of the finite norms; empty if there are none."""
    finite = norms[np.isfinite(norms)]
    if len(finite) == 0:
        return {}
    quantiles = np.quantile(finite, list(QUANTILES.values()))
    return {
        "mean": float(finite.mean()),
        **{name: float(value) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "max": float(finite.max()),
    }
