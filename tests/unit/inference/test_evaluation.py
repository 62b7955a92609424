import numpy as np
import pytest

from rnnlane.inference.bundle import set_temperature
from rnnlane.inference.evaluation import evaluate_split
from rnnlane.inference.predictor import Predictor, encoded_split


def test_the_scores_of_a_split_are_those_of_the_labels_that_are_predicted(bundle):
    predictor = Predictor.load(bundle)
    texts = ["a film", "fine", "dull dull film"]
    labels = np.array([0, 2, 1], dtype=np.int64)
    rows = encoded_split(predictor.encoded(texts), labels)
    found = evaluate_split("ab", "val", rows, predictor)
    predicted = predictor.predict(texts).probabilities.argmax(axis=1)
    assert (found.run_id, found.split, found.num_rows) == ("ab", "val", 3)
    assert found.metrics["accuracy"] == (predicted == labels).mean()
    expected = np.zeros((3, 3), dtype=int)
    np.add.at(expected, (labels, predicted), 1)
    assert found.confusion == expected.tolist()


def test_a_temperature_changes_the_loss_only(bundle):
    texts, labels = ["a film", "fine", "dull dull film"], np.array([0, 2, 1], dtype=np.int64)
    scored = []
    for temperature in (1.0, 2.0):
        set_temperature(bundle, temperature)
        predictor = Predictor.load(bundle)
        rows = encoded_split(predictor.encoded(texts), labels)
        scored.append(evaluate_split("ab", "val", rows, predictor))
        expected = -np.log(predictor.predict(texts).probabilities[np.arange(3), labels]).mean()
        assert scored[-1].metrics["loss"] == pytest.approx(expected, rel=1e-5)
    plain, tempered = scored
    assert plain.confusion == tempered.confusion
    assert plain.metrics["accuracy"] == tempered.metrics["accuracy"]
    assert plain.metrics["loss"] != tempered.metrics["loss"]
