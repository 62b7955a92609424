import pkgutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from rnnlane.errors import ResourceError
from rnnlane.inference.bundle import load_bundle, set_temperature
from rnnlane.inference.evaluation import evaluate_split
from rnnlane.inference.predictor import Predictor, encoded_split, is_sure
from rnnlane.models.linear import TfidfClassifier

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
    found = Predictor.load(bundle).predict(TEXTS)
    # "indeed" is unknown, and 20 tokens of a text are kept.
    assert found.num_known_tokens.tolist() == [3, 3, 0, 0, 3, 20]
    assert found.num_tokens.tolist() == [3, 4, 1, 1, 3, 20]
    assert found.unknown_share.tolist() == [0, 0.25, 1, 1, 0, 0]


def test_no_texts_get_no_answers(bundle):
    assert Predictor.load(bundle).probabilities([]).shape == (0, 3)
    assert Predictor.load(bundle).predict([]).num_known_tokens.tolist() == []


@pytest.mark.parametrize(
    ("probabilities", "unknown_share", "expected"),
    [
        ([0.6, 0.4], 0.5, True),
        ([0.59, 0.41], 0.0, False),
        ([0.4, 0.6], 0.51, False),
        ([1.0, 0.0], 1.0, False),
        ([0.37, 0.16, 0.16, 0.16, 0.15], 0.0, True),
        ([0.35, 0.34, 0.11, 0.1, 0.1], 0.0, False),
        ([np.nan, np.nan], 0.0, False),
    ],
)
def test_an_answer_near_chance_or_of_unknown_tokens_is_not_sure(
    probabilities, unknown_share, expected
):
    assert is_sure(np.array([probabilities]), np.array([unknown_share])).tolist() == [expected]


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


@pytest.fixture
def elsewhere(bundle, monkeypatch):
    """A predictor on a device other than the CPU, one without values, and what it has touched."""
    devices, plain = set(), Predictor.logits

    def logits(self, token_ids, lengths):
        found = plain(self, token_ids, lengths)
        devices.update(one.device.type for one in (token_ids, found, *self._on_device.parameters()))
        return found

    monkeypatch.setattr(Predictor, "logits", logits)
    # A tensor without values comes back from its device as zeros.
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: torch.zeros(self.shape, dtype=self.dtype))
    return Predictor.load(bundle, device=torch.device("meta")), devices


def test_texts_are_classified_on_the_device(elsewhere):
    predictor, devices = elsewhere
    found = predictor.predict(TEXTS)
    assert devices == {"meta"}
    assert found.probabilities.shape == (6, 3)
    assert found.num_known_tokens.tolist() == [3, 3, 0, 0, 3, 20]


def test_a_split_is_scored_on_the_device(elsewhere):
    predictor, devices = elsewhere
    rows = encoded_split(predictor.encoded(["a film", "fine"]), np.array([0, 2]))
    assert evaluate_split("ab", "val", rows, predictor).num_rows == 2
    assert devices == {"meta"}


def test_answers_are_explained_on_the_cpu(elsewhere, bundle):
    predictor, devices = elsewhere
    here = Predictor.load(bundle).explain("a dull film", label="good")
    assert predictor.explain("a dull film", label="good") == here
    assert here.log_odds != 0
    assert devices == set()


def test_a_linear_baseline_stays_on_the_cpu(bundle):
    linear = TfidfClassifier(num_ngrams=2, num_classes=3, vocabulary_size=6, num_words=1)
    predictor = Predictor(replace(load_bundle(bundle), model=linear), device=torch.device("meta"))
    assert predictor.device.type == "cpu"
    np.testing.assert_allclose(predictor.probabilities(["a film"]), [[1 / 3] * 3])


def test_answers_are_those_of_float32_whatever_the_process_allows(bundle, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    allowed, plain = [], Predictor.logits

    def logits(self, *arguments):
        allowed.append(torch.backends.cudnn.allow_tf32)
        return plain(self, *arguments)

    monkeypatch.setattr(Predictor, "logits", logits)
    predictor = Predictor.load(bundle)
    predictor.predict(["a film"])
    rows = encoded_split(predictor.encoded(["a film", "fine"]), np.array([0, 2]))
    predictor.predict_rows(rows)
    evaluate_split("ab", "val", rows, predictor)
    assert allowed == [False] * 3
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("device", "remedy"), [("cpu", "give fewer texts at a time"), ("meta", "set the device to cpu")]
)
def test_too_little_memory_is_told_in_one_line(bundle, monkeypatch, device, remedy):
    def logits(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(Predictor, "logits", logits)
    predictor = Predictor.load(bundle, device=torch.device(device))
    with pytest.raises(ResourceError, match=r"classifying needs more memory .*allocate") as error:
        predictor.predict(["a film"])
    assert error.value.remedy == remedy
