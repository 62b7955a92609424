import pkgutil

import numpy as np
import pytest
from scipy.special import softmax

from rnnlane.inference.bundle import set_temperature
from rnnlane.inference.predictor import Predictor, encoded_split

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
    rows = encoded_split(plain.token_ids(TEXTS[:2]), np.zeros(2, dtype=np.int64))
    logits = plain.split_logits(rows)
    np.testing.assert_array_equal(tempered.split_logits(rows), logits)
    expected = softmax(logits.astype(np.float64) / temperature, axis=1)
    found = tempered.predict(TEXTS)
    np.testing.assert_allclose(found.probabilities[:2], expected, rtol=1e-6, atol=1e-12)
    assert found.labels == plain.predict(TEXTS).labels
    assert not np.allclose(found.probabilities[:2], plain.predict(TEXTS[:2]).probabilities)


def test_the_logits_of_a_split_are_in_the_order_of_its_rows(bundle):
    predictor = Predictor.load(bundle)
    texts = ["a dull film", "fine", "a fine fine fine film", "dull"] * 3
    rows = encoded_split(predictor.token_ids(texts), np.zeros(12, dtype=np.int64))
    found = softmax(predictor.split_logits(rows), axis=1)
    np.testing.assert_allclose(found, predictor.probabilities(texts), atol=1e-6)
