import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from rnnlane.inference.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    at_temperature,
    choose_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
    tempered,
)
from rnnlane.records.predictions import Predictions


class Fixed(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose input are its logits."""

    def __init__(self, num_classes=3):
        self.num_classes = num_classes
        self.classes_ = np.arange(num_classes)

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X.argmax(axis=1)

    def decision_function(self, X):
        return X


def rows(num_rows=2000, num_classes=3, *, too_certain=2.5, seed=0):
    """Labels drawn from softmax(logits), and the logits times a factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(num_rows, num_classes)) * 2
    drawn = random.random(num_rows)[:, None]
    labels = (softmax(logits, axis=1).cumsum(axis=1) < drawn).sum(axis=1).clip(max=num_classes - 1)
    return logits * too_certain, labels


@pytest.mark.parametrize("num_classes", [2, 3, 20])
def test_bins_are_those_of_scikit_learn(num_classes):
    logits, labels = rows(num_classes=num_classes)
    probabilities = softmax(logits, axis=1)
    bins = reliability(probabilities, labels)
    is_correct = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(is_correct, probabilities.max(axis=1), n_bins=15)
    np.testing.assert_allclose([one.accuracy for one in bins], accuracy)
    np.testing.assert_allclose([one.confidence for one in bins], confidence)
    assert sum(one.num_rows for one in bins) == len(labels)
    assert all(one.lower <= one.confidence <= one.upper for one in bins)


def test_a_range_includes_its_upper_end():
    probabilities = np.array([[0.75, 0.25], [0.8, 0.2], [1.0, 0.0]])
    labels = np.array([0, 0, 1])
    bins = reliability(probabilities, labels, num_bins=4)
    assert [(one.upper, one.num_rows) for one in bins] == [(0.75, 1), (1.0, 2)]
    accuracy, _ = calibration_curve(labels == 0, probabilities.max(axis=1), n_bins=4)
    assert [one.accuracy for one in bins] == accuracy.tolist()


def test_the_error_is_the_mean_distance_over_the_rows():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [1.0, 0.0]])
    labels = np.array([0, 1, 1, 0])
    # Half of the two at 0.9 are right; those at 0.7 and at 1 are.
    expected = (2 * abs(0.9 - 0.5) + abs(0.7 - 1) + abs(1 - 1)) / 4
    assert expected_calibration_error(reliability(probabilities, labels)) == pytest.approx(expected)


def test_rows_without_a_finite_answer_count_nowhere():
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan]])
    assert [one.num_rows for one in reliability(probabilities, np.array([0, 0]))] == [1]
    assert reliability(probabilities[1:], np.array([0])) == []
    assert np.isnan(expected_calibration_error([]))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_probabilities_are_the_softmax_of_scaled_logits(temperature):
    logits, _ = rows()
    expected = softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(at_temperature(logits, temperature), expected)
    logarithms = log_softmax(logits, axis=1)
    np.testing.assert_allclose(at_temperature(logarithms, temperature), expected)
    large = at_temperature(np.array([[1e5, 0.0, -np.inf]]), temperature)
    np.testing.assert_allclose(large, [[1.0, 0.0, 0.0]])
    assert at_temperature(np.zeros((0, 3)), temperature).shape == (0, 3)


@pytest.mark.parametrize("too_certain", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("num_classes", [2, 7])
def test_the_fitted_temperature_has_the_least_log_loss(num_classes, too_certain):
    logits, labels = rows(num_classes=num_classes, too_certain=too_certain)

    def loss(temperature):
        found = softmax(logits / temperature, axis=1)
        return log_loss(labels, found, labels=range(num_classes))

    found = fit_temperature(logits, labels)
    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8})
    assert found == pytest.approx(expected.x, rel=1e-4)
    # The labels were drawn at this temperature.
    assert found == pytest.approx(too_certain, rel=0.15)
    before, after = (
        expected_calibration_error(reliability(at_temperature(logits, one), labels))
        for one in (1.0, found)
    )
    assert after < before or too_certain == 1.0


def test_it_is_the_temperature_of_scikit_learn():
    logits, labels = rows()
    theirs = CalibratedClassifierCV(FrozenEstimator(Fixed()), method="temperature")
    theirs.fit(logits, labels)
    expected = theirs.predict_proba(logits[:50])
    found = fit_temperature(logits, labels)
    np.testing.assert_allclose(at_temperature(logits[:50], found), expected, atol=1e-4)


def test_classes_that_cannot_be_do_not_count():
    logits, labels = rows(num_classes=3)
    impossible = np.full((len(logits), 1), -np.inf)
    wider = np.concatenate([logits, impossible], axis=1)
    expected = fit_temperature(logits, labels)
    assert fit_temperature(wider, labels) == pytest.approx(expected)
    more = np.concatenate([wider, wider[:1]]), np.append(labels, 3)
    assert fit_temperature(*more) == pytest.approx(expected)


def test_a_class_without_train_rows_does_not_move_the_temperature():
    """The linear model gives it 0; one val row of it would make any other answer look certain."""
    logits, labels = rows(num_classes=3)
    probabilities = np.append(softmax(logits, axis=1), np.zeros((len(logits), 1)), axis=1)
    labels[:2] = 3
    keys, names = np.arange(len(labels), dtype=np.uint64), ("a", "b", "c", "never")
    kept = Predictions(keys, labels, probabilities.astype(np.float32), names)
    expected = fit_temperature(logits[2:], labels[2:])
    found = choose_temperature("fit", kept)
    assert found.used == found.fitted == pytest.approx(expected, rel=1e-3)
    assert not tempered(kept, 5.0).probabilities[:, 3].any()


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros((0, 2)), []),
        ([[2.0, 1.0], [0.0, 1.0]], [0, 1]),
        ([[np.nan, 1.0], [0.0, 1.0]], [0, 0]),
        ([[np.inf, 1.0], [0.0, 1.0]], [0, 0]),
        ([[1.0, -np.inf]], [1]),
    ],
    ids=["no rows", "no mistake", "nan", "inf", "impossible"],
)
def test_nothing_is_fitted_where_nothing_can_be(logits, labels):
    assert fit_temperature(np.array(logits), np.array(labels, dtype=np.int64)) is None


def test_of_very_many_rows_some_are_enough(monkeypatch):
    logits, labels = rows()
    monkeypatch.setattr("rnnlane.inference.calibration.MAX_FITTED_VALUES", 1500)
    assert fit_temperature(logits, labels) == fit_temperature(logits[::4], labels[::4])


def test_it_stays_within_limits():
    always_wrong = np.array([[5.0, 0.0]] * 4)
    assert fit_temperature(always_wrong, np.array([1, 1, 1, 0])) == pytest.approx(MAX_TEMPERATURE)
    hesitant = np.array([[0.01, 0.0]] * 100)
    labels = np.array([0] * 99 + [1])
    assert fit_temperature(hesitant, labels) == pytest.approx(MIN_TEMPERATURE)
