import functools
import json

import numpy as np
import pytest
import torch

from rnnlane.config.baseline import BaselineConfig
from rnnlane.config.text import VocabularyConfig
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.errors import DataError
from rnnlane.inference.bundle import load_bundle, save_bundle, set_temperature
from rnnlane.inference.predictor import Predictor, encoded_split, hasher_of
from rnnlane.models.linear import fit_tfidf
from rnnlane.models.naive_bayes import fit_naive_bayes
from support.bundle import write_bundle
from support.tiny import tiny_experiment


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.jsonl", "classifier.json"])
def test_a_bundle_that_lacks_or_damages_a_file_is_refused(bundle, name):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError):
        load_bundle(bundle)
    (bundle / name).unlink()
    with pytest.raises(DataError):
        load_bundle(bundle)


def test_a_bundle_of_another_format_is_refused(bundle):
    file = bundle / "classifier.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(DataError, match="format"):
        load_bundle(bundle)


def described(bundle, **changes):
    file = bundle / "classifier.json"
    description = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps(description))
    return description


def test_a_temperature_is_part_of_the_bundle_and_older_releases_refuse_it(bundle):
    plain = described(bundle)
    assert plain["format"] == 1
    assert "temperature" not in plain
    assert load_bundle(bundle).temperature == 1.0
    set_temperature(bundle, 2.5)
    assert described(bundle)["format"] == 2
    assert load_bundle(bundle).temperature == 2.5
    set_temperature(bundle, 1.0)
    assert described(bundle) == plain


def test_without_ngrams_a_bundle_says_nothing_of_them_and_older_releases_read_it(bundle):
    assert "ngrams" not in described(bundle)["model"]


def test_a_bundle_with_ngrams_is_of_a_format_of_its_own_and_reads_words_it_has_no_id_for(tmp_path):
    folder = write_bundle(tmp_path, overrides=("model.ngrams={bits: 10, max_words: 2}",))
    assert described(folder)["format"] == 3
    predictor = Predictor.load(folder)
    texts = ["a fine film", "a new film", "a newer film", "film a fine"]
    found = predictor.probabilities(texts)
    assert len(np.unique(found, axis=0)) == 4
    model, vocabulary = load_bundle(folder).model.eval(), predictor._vocabulary
    rows = encoded_split(predictor.encoded(texts), np.zeros(4, dtype=np.int64))
    hasher = hasher_of(model, vocabulary)
    ids = torch.from_numpy(rows.token_ids.reshape(4, 3).astype(np.int64))
    body = model.body(model.embedding(ids), torch.full((4,), 3))
    values = model.ngrams.ratio * model.ngrams.weight
    sums = [values[hasher(rows.take(np.array([row])))[0]].sum(dim=0) for row in range(4)]
    expected = ((body + torch.stack(sums)) / 2).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for temperature in (2.5, 1.0):
        set_temperature(folder, temperature)
        assert described(folder)["format"] == 3
        assert load_bundle(folder).temperature == temperature


@pytest.mark.parametrize("temperature", [0, -1.0, "nan", "hot", None])
def test_a_damaged_temperature_is_refused(bundle, temperature):
    described(bundle, format=2, temperature=temperature)
    with pytest.raises(DataError, match="not a usable model bundle"):
        load_bundle(bundle)


@pytest.mark.parametrize("weighting", ["nb", "tfidf"])
def test_a_linear_bundle_answers_as_the_model_that_was_saved(tmp_path, weighting):
    config = tiny_experiment()
    vocabulary = Vocabulary.fit({"a": 5, "film": 4, "fine": 3, "dull": 3}, VocabularyConfig())
    texts = ["a fine film", "a dull film", "dull a film", "film"]
    encoded = [vocabulary.encode(text.split(), max_length=9, keep="head") for text in texts]
    split = encoded_split(encoded, np.array([2, 0, 0, 1]))
    features = split.token_ids, split.offsets
    fit = functools.partial(fit_tfidf, vocabulary_size=len(vocabulary))
    if weighting == "nb":
        features = NgramHasher(16, 3, vocabulary.word_keys)(split)
        fit = functools.partial(fit_naive_bayes, hash_bits=16)
    options = BaselineConfig(inverse_strength=10.0, weighting=weighting, min_rows=1)
    model = fit(*features, split.labels, config=options, num_classes=3)
    save_bundle(
        tmp_path,
        weights=model.state_dict(),
        vocabulary=vocabulary.to_jsonl(),
        text=config.text,
        model=model.shape,
        class_names=("bad", "so so", "good"),
    )
    predictor = Predictor.load(tmp_path)
    found = predictor.probabilities(texts)
    np.testing.assert_allclose(found, predictor.predict_rows(split).probabilities)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.argmax(axis=1).tolist() == [2, 0, 0, 1]
