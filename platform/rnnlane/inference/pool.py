"""Several models' answers as one: a weighted mean of the logarithms of their probabilities.

Which weights are best follows from rows that no model was trained on (Wolpert, "Stacked
generalization", 1992); the mean of logarithms is the logarithmic opinion pool of Genest and Zidek,
"Combining probability distributions", 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rnnlane.inference.calibration import MAX_FITTED_VALUES

Floats = npt.NDArray[np.floating]
# What is too small for float32 counts as this, so that no model can rule out a class by itself.
_SMALLEST = float(np.finfo(np.float32).tiny)


def log_pool(probabilities: Sequence[Floats], weights: Floats) -> npt.NDArray[np.float64]:
    """The logits of the pool: float64 [N, C].

    Args:
        probabilities: of each model, on the same rows: M of [N, C].
        weights: [M], at least 0.
    """
    logs = (weight * _logs(one) for one, weight in zip(probabilities, weights, strict=True))
    pooled: npt.NDArray[np.float64] = np.sum(list(logs), axis=0)
    return pooled


def fit_weights(
    probabilities: Sequence[Floats], labels: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """The weights, at least 0 and with the sum 1, with which the pool has the least log loss.

    The pool is given its best temperature at the same time: free weights have one log loss for each
    sum, and are scaled to the sum 1 afterwards. The log loss is convex in them, so there is one
    minimum.

    Args:
        probabilities: of each model, on the same rows: M of [N, C], finite.
        labels: the true classes, [N], at least one.

    Returns:
        float64 [M]; equal weights where no model is better than a uniform guess.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    # Of many rows evenly chosen ones: prepared data has them in random order.
    every = -(-probabilities[0].size // MAX_FITTED_VALUES) or 1
    logs = np.stack([_logs(one[::every]) for one in probabilities])  # [M, N, C]
    labels = labels[::every]
    of_true = np.take_along_axis(logs, labels[None, :, None], axis=2)[:, :, 0]  # [M, N]

    def loss(weights: Floats) -> tuple[float, Floats]:
        pooled = np.tensordot(weights, logs, axes=1)
        value = logsumexp(pooled, axis=1).mean() - weights @ of_true.mean(axis=1)
        expected = np.einsum("nc,mnc->m", softmax(pooled, axis=1), logs) / len(labels)
        return float(value), expected - of_true.mean(axis=1)

    count = len(logs)
    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * count,
        options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8},
    )
    weights: npt.NDArray[np.float64] = found.x
    total = weights.sum()
    return weights / total if total > 0 else np.full(count, 1 / count)


def _logs(probabilities: Floats) -> npt.NDArray[np.float64]:
    logs: npt.NDArray[np.float64] = np.log(
        np.maximum(np.asarray(probabilities, np.float64), _SMALLEST)
    )
    return logs
