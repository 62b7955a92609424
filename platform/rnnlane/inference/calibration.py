"""Whether a model's probabilities mean what they say, and the temperature that makes them so.

Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.records.predictions import Predictions

NUM_BINS = 15
# Where the best temperature lies beyond these, the rows say no more than "less" or "more certain".
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 10.0
# One number is fitted: of 1,000 classes 1,000 rows are enough, and take a second or two.
MAX_FITTED_VALUES = 2**20

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


class Bin(NamedTuple):
    """Rows whose highest probability is in one range.

    Attributes:
        lower, upper: the range; it includes ``upper``.
        num_rows: at least 1.
        confidence: mean of their highest probabilities.
        accuracy: share of them that are classified correctly.
    """

    lower: float
    upper: float
    num_rows: int
    confidence: float
    accuracy: float


def reliability(probabilities: Floats, labels: Ints, *, num_bins: int = NUM_BINS) -> list[Bin]:
    """Confidence against accuracy, in ranges of equal width; those without rows are left out.

    Args:
        probabilities: of each class: [N, C]; rows that are not finite count nowhere.
        labels: the true classes, [N].
        num_bins: ranges that [0, 1] is cut into.
    """
    is_finite = np.isfinite(probabilities).all(axis=1)
    probabilities, labels = np.asarray(probabilities, np.float64)[is_finite], labels[is_finite]
    confidence = probabilities.max(axis=1, initial=0.0)
    is_correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        of_bin = confidence[inside].mean(), is_correct[inside].mean()
        lower, upper = edges[place : place + 2]
        bins.append(Bin(float(lower), float(upper), int(inside.sum()), *map(float, of_bin)))
    return bins


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance between confidence and accuracy over the rows, in [0, 1]; NaN without rows."""
    num_rows = sum(one.num_rows for one in bins)
    if num_rows == 0:
        return float("nan")
    return sum(one.num_rows * abs(one.confidence - one.accuracy) for one in bins) / num_rows


def at_temperature(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities softmax(logits / temperature): float64 [N, C].

    Logarithms of probabilities do for logits: they differ by a constant of the row.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True, initial=-np.inf)
    weights: npt.NDArray[np.float64] = np.exp(scaled)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def log_probabilities(probabilities: Floats) -> npt.NDArray[np.float64]:
    """Logits that have these probabilities: float64 [N, C].

    What was too small for float32 counts as 1e-38, so that a certain mistake is a large one; but a
    class that has 0 in every row, as one without train rows has in a linear model, gets -inf.
    """
    # A NaN stays one.
    values, floor = np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny
    logits: npt.NDArray[np.float64] = np.log(np.maximum(values, floor))
    logits[:, (values == 0).all(axis=0)] = -np.inf
    return logits


def tempered(predictions: Predictions, temperature: float) -> Predictions:
    """What the model answers with a temperature, given what it answers without; no label changes.

    Args:
        predictions: with temperature 1.
        temperature: divides the logits.
    """
    if temperature == 1.0:
        return predictions
    logits = log_probabilities(predictions.probabilities)
    probabilities = at_temperature(logits, temperature).astype(np.float32)
    # Where float32 has made two classes equal, the label is still the one that was ahead.
    rows = np.flatnonzero(probabilities.argmax(axis=1) != predictions.predicted)
    ahead = rows, predictions.predicted[rows]
    probabilities[ahead] = np.nextafter(probabilities[ahead], np.float32(2))
    return replace(predictions, probabilities=probabilities)


class TemperatureChoice(NamedTuple):
    """The temperature of a model.

    Attributes:
        used: divides the model's logits.
        fitted: the one with the least log loss on val; None if none can be fitted.
    """

    used: float = 1.0
    fitted: float | None = None


def choose_temperature(
    setting: Literal["fit"] | float | None, predictions: Predictions
) -> TemperatureChoice:
    """The temperature that a model gets, and the one that val suggests.

    Args:
        setting: ``inference.temperature``.
        predictions: on val, with temperature 1.
    """
    fitted = fit_temperature(log_probabilities(predictions.probabilities), predictions.labels)
    wanted = fitted if setting == "fit" else setting
    return TemperatureChoice(1.0 if wanted is None else wanted, fitted)


def fit_temperature(logits: Floats, labels: Ints) -> float | None:
    """The temperature in [0.1, 10] with the least log loss.

    The log loss is convex in 1 / temperature, so there is one minimum.

    Args:
        logits: [N, C].
        labels: the true classes, [N]. Rows whose class has the logit -inf, as of a class without
            train rows, are left out: no temperature makes it possible.

    Returns:
        None where nothing can be fitted: there are no rows, a logit is NaN or inf, or all rows are
        classified correctly, for which no confidence is too high.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    # Of many rows evenly chosen ones: prepared data has them in random order.
    every = -(-logits.size // MAX_FITTED_VALUES) or 1
    logits, labels = np.asarray(logits[::every], np.float64), labels[::every]
    of_true = logits[np.arange(len(labels)), labels]
    is_possible = of_true > -np.inf
    if np.isnan(logits).any() or np.isposinf(logits).any():
        return None
    if (logits.argmax(axis=1) == labels)[is_possible].all():
        return None
    # The distance of each logit from that of the true class.
    distances = logits[is_possible] - of_true[is_possible, None]

    def log_loss(log_temperature: float) -> float:
        exponents = distances * np.exp(-log_temperature)
        return float(logsumexp(exponents, axis=1).mean())

    bounds = float(np.log(MIN_TEMPERATURE)), float(np.log(MAX_TEMPERATURE))
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
