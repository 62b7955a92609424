import pkgutil

import numpy as np
import pytest
from scipy.special import softmax

from rnnlane.inference.bundle import set_temperature
from rnnlane.inference.predictor import Predictor

TEXTS = ["a fine film", "a dull film <br /> indeed", "", "zzz", "A FINE FILM", "a " * 1000]


def test_each_text_gets_a_probability_for_each_class(bundle):
    predictor = Predictor.load(bundle)
    found = predictor.probabilities(TEXTS)
    assert predictor.class_names == ("bad", "so so", "good")
    assert found.shape == (6, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("texts_per_chunk", [1, 4, 100])
def test_the_answer_for_a_text_does_not_depend_on_the_others(bundle, monkeypatch, texts_per_chunk):
    monkeypatch.setattr("rnnlane.inference.predictor.TEXTS_PER_CHUNK", texts_per_chunk)
    predictor = Predictor.load(bundle)
    together = predictor.probabilities(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(predictor.probabilities([text])[0], row, atol=1e-6)
    np.testing.assert_allclose(together[0], together[4], atol=1e-6)


@pytest.mark.parametrize("texts_per_chunk", [1, 4, 100])
def test_what_the_model_knows_of_a_text_is_counted(bundle, monkeypatch, texts_per_chunk):
    monkeypatch.setattr("rnnlane.inference.predictor.TEXTS_PER_CHUNK", texts_per_chunk)
    found = Predictor.load(bundle).predict(TEXTS).num_known_tokens
    # "indeed" is unknown, and 20 tokens of a text are kept.
    assert found.tolist() == [3, 3, 0, 0, 3, 20]


def test_no_texts_get_no_answers(bundle):
    assert Predictor.load(bundle).probabilities([]).shape == (0, 3)
    assert Predictor.load(bundle).predict([]).num_known_tokens.tolist() == []


def test_served_models_find_the_predictor_at_its_stable_address():
    assert pkgutil.resolve_name("rnnlane.inference:Predictor") is Predictor


@pytest.mark.parametrize("temperature", [0.01, 0.5, 3.0, 100.0])
def test_a_temperature_changes_how_certain_answers_are_but_no_label(bundle, temperature):
    plain = Predictor.load(bundle)
    set_temperature(bundle, temperature)
    tempered = Predictor.load(bundle)
    before, after = plain.predict(TEXTS), tempered.predict(TEXTS)
    expected = softmax(np.log(before.probabilities) / temperature, axis=1)
    np.testing.assert_allclose(after.probabilities, expected, rtol=1e-5, atol=1e-12)
    assert after.labels == before.labels
    assert not np.allclose(after.probabilities, before.probabilities)
