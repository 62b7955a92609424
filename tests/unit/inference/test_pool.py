"""The pool of several models' answers, and its weights."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from rnnlane.inference.calibration import at_temperature, fit_temperature
from rnnlane.inference.pool import fit_weights, log_pool


def answers(num_models: int, num_classes: int, num_rows: int = 300):
    """Models that know more and less, and labels drawn independently of all but the truth."""
    random = np.random.default_rng(3)
    labels = random.integers(num_classes, size=num_rows)
    truth = np.eye(num_classes)[labels]
    logits = [
        truth * knows + random.normal(size=truth.shape) * noise
        for knows, noise in [(2.0, 1.0), (1.0, 1.5), (3.0, 2.5), (0.0, 2.0)][:num_models]
    ]
    return [softmax(one, axis=1) for one in logits], labels


def log_loss(probabilities, labels) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_the_mean_is_the_geometric_mean_of_the_probabilities():
    models, _ = answers(3, 4)
    product = (models[0] * models[1] * models[2]) ** (1 / 3)
    expected = product / product.sum(axis=1, keepdims=True)
    found = at_temperature(log_pool(models, np.full(3, 1 / 3)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_no_point_of_a_fine_grid_has_a_lower_log_loss(num_classes):
    models, labels = answers(3, num_classes)
    weights = fit_weights(models, labels)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def best_loss(of_models) -> float:
        logits = log_pool(models, of_models)
        return log_loss(at_temperature(logits, fit_temperature(logits, labels)), labels)

    steps = np.linspace(0, 1, 21)
    grid = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1 + 1e-9]
    losses = [best_loss(np.clip(point, 0, 1)) for point in grid]
    assert best_loss(weights) <= min(losses) + 1e-9
    assert np.abs(grid[int(np.argmin(losses))] - weights).max() <= 0.05
    # And no single model is as good.
    assert best_loss(weights) < min(best_loss(row) for row in np.eye(3)) - 1e-3


def test_a_model_that_knows_nothing_gets_nothing():
    models, labels = answers(4, 3, num_rows=4000)
    assert fit_weights(models, labels)[3] < 0.02


def test_models_worse_than_a_guess_share_equally():
    models, labels = answers(2, 2)
    reversed_ = [one[:, ::-1] for one in models]
    assert fit_weights(reversed_, labels).tolist() == [0.5, 0.5]


def test_no_model_rules_a_class_out_by_itself():
    certain, unsure = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    logits = log_pool([certain, unsure], np.array([0.0, 1.0]))
    np.testing.assert_allclose(log_softmax(logits, axis=1), np.log([[0.5, 0.5]]))
    assert np.isfinite(log_pool([certain, certain], np.array([0.5, 0.5]))).all()
