import json

import numpy as np
import pytest

from rnnlane.config.baseline import BaselineConfig
from rnnlane.config.experiment import VocabularyConfig
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.errors import DataError
from rnnlane.inference.predictor import Predictor, save_bundle
from rnnlane.models.classifier import build_model
from rnnlane.models.linear import fit_linear
from rnnlane.training.checkpoint import contiguous_weights
from support.tiny import tiny_experiment

TEXTS = ["a fine film", "a dull film <br /> indeed", "", "zzz", "A FINE FILM", "a " * 1000]


@pytest.fixture
def bundle(tmp_path):
    config = tiny_experiment("text.max_length=20")
    vocabulary = Vocabulary.fit({"a": 5, "film": 4, "fine": 3, "dull": 3}, VocabularyConfig())
    model = build_model(config.model, vocabulary_size=len(vocabulary), num_classes=3, seed=4)
    save_bundle(
        tmp_path,
        weights=contiguous_weights(model),
        vocabulary=vocabulary.to_jsonl(),
        text=config.text,
        model=config.model.model_dump(mode="json"),
        class_names=("bad", "so so", "good"),
    )
    return tmp_path


def test_each_text_gets_a_probability_for_each_class(bundle):
    predictor = Predictor.load(bundle)
    found = predictor.probabilities(TEXTS)
    assert predictor.class_names == ("bad", "so so", "good")
    assert found.shape == (6, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("texts_a_chunk", [1, 4, 100])
def test_the_answer_for_a_text_does_not_depend_on_the_others(bundle, monkeypatch, texts_a_chunk):
    monkeypatch.setattr("rnnlane.inference.predictor.TEXTS_A_CHUNK", texts_a_chunk)
    predictor = Predictor.load(bundle)
    together = predictor.probabilities(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(predictor.probabilities([text])[0], row, atol=1e-6)
    np.testing.assert_allclose(together[0], together[4], atol=1e-6)


def test_no_texts_get_no_answers(bundle):
    assert Predictor.load(bundle).probabilities([]).shape == (0, 3)


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.jsonl", "classifier.json"])
def test_a_bundle_that_lacks_or_damages_a_file_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError):
        Predictor.load(bundle)
    (bundle / name).unlink()
    with pytest.raises(DataError):
        Predictor.load(bundle)


def test_a_bundle_of_another_format_is_refused(bundle):
    file = bundle / "classifier.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(DataError, match="format"):
        Predictor.load(bundle)


def test_a_linear_bundle_answers_as_the_model_that_was_saved(tmp_path):
    config = tiny_experiment()
    vocabulary = Vocabulary.fit({"a": 5, "film": 4, "fine": 3, "dull": 3}, VocabularyConfig())
    texts = ["a fine film", "a dull film", "dull a film", "film"]
    rows = [vocabulary.encode(text.split(), max_length=9, keep="head") for text in texts]
    model = fit_linear(
        np.concatenate(rows),
        np.cumsum([0, *map(len, rows)]),
        np.array([2, 0, 0, 1]),
        config=BaselineConfig(min_rows=1),
        vocabulary_size=len(vocabulary),
        num_classes=3,
    )
    save_bundle(
        tmp_path,
        weights=model.state_dict(),
        vocabulary=vocabulary.to_jsonl(),
        text=config.text,
        model={"num_ngrams": len(model.ngrams), "num_words": 2},
        class_names=("bad", "so so", "good"),
    )
    found = Predictor.load(tmp_path).probabilities(texts)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.argmax(axis=1).tolist() == [2, 0, 0, 1]
