"""Several models that answer as one."""

import json

import numpy as np
import pytest

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.errors import ConfigError, DataError
from rnnlane.inference.ensemble import EnsemblePredictor, load_bundled, save_ensemble
from rnnlane.inference.predictor import Predictor
from support.bundle import write_bundle

TEXTS = ["a fine film", "dull", "", "an unknown word or two"]
TWO = ("bad", "good")


def damaged(folder, **changes):
    file = folder / "classifier.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def make_ensemble(folder, class_names=TWO, *, weights=(0.3, 0.7), temperature=0.5):
    """Of two models, the second with a temperature, lower weights and a shorter vocabulary."""
    for number in (1, 2):
        write_bundle(folder / f"member_{number}", class_names)
    damaged(folder / "member_2", format=2, temperature=0.2)
    names = ["member_1", "member_2"]
    save_ensemble(
        folder, members=names, weights=weights, class_names=class_names, temperature=temperature
    )
    return load_bundled(folder), [Predictor.load(folder / name) for name in names]


@pytest.mark.parametrize("class_names", [TWO, ("bad", "so so", "good")])
def test_it_answers_with_the_weighted_geometric_mean(tmp_path, class_names):
    ensemble, members = make_ensemble(tmp_path, class_names)
    first, second = (member.probabilities(TEXTS) for member in members)
    expected = (first**0.3 * second**0.7) ** (1 / 0.5)
    expected /= expected.sum(axis=1, keepdims=True)
    answer = ensemble.predict(TEXTS)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
    assert answer.class_names == class_names
    assert answer.num_known_tokens.tolist() == [3, 1, 0, 0]
    rows = members[0]._encode(TEXTS)
    np.testing.assert_allclose(ensemble.predict_rows(rows).probabilities, expected, rtol=1e-6)
    assert ensemble.has_tokens(TEXTS).tolist() == [True, True, False, True]


def test_members_that_read_texts_in_other_ways_answer_texts_but_no_encoded_rows(tmp_path):
    make_ensemble(tmp_path)
    other = Vocabulary.fit({"fine": 5, "film": 4}, VocabularyConfig())
    first = Predictor.load(tmp_path / "member_1")
    rows = first._encode(TEXTS)
    # Of the larger vocabulary's ids only some have a vector, but all have a text.
    (tmp_path / "member_2" / "vocabulary.jsonl").write_text(_padded(other))
    ensemble = load_bundled(tmp_path)
    second = Predictor.load(tmp_path / "member_2")
    pooled = first.probabilities(TEXTS) ** 0.6 * second.probabilities(TEXTS) ** 1.4
    expected = pooled / pooled.sum(axis=1, keepdims=True)
    answer = ensemble.predict(TEXTS)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)
    # "a" is unknown to the second.
    assert (answer.num_known_tokens[0], answer.num_tokens[0]) == (2, 3)
    with pytest.raises(ConfigError, match="its members read texts in one way"):
        ensemble.predict_rows(rows)


def _padded(vocabulary):
    """As many tokens as the first member has."""
    tokens = (*vocabulary.tokens, "other", "words")
    return Vocabulary(tokens, (*vocabulary.counts, 1, 1)).to_jsonl()


def test_shares_add_up_to_the_log_odds_of_the_pool(tmp_path):
    ensemble, members = make_ensemble(tmp_path)
    text = "a dull film"
    found = ensemble.explain(text, label="good")
    assert found.tokens == ("a", "dull", "film")
    assert found.probability == pytest.approx(ensemble.probabilities([text])[0, 1], rel=1e-5)
    parts = [member.explain(text, label="good") for member in members]
    expected = [(0.3 * a + 0.7 * b) / 0.5 for a, b in zip(*(p.shares for p in parts), strict=True)]
    assert found.shares == pytest.approx(expected)
    assert abs(found.gap) < 0.1
    assert ensemble.explain(text).label == ensemble.predict([text]).labels[0]


def test_what_cannot_be_explained_is_refused(tmp_path):
    three, _ = make_ensemble(tmp_path / "three", ("bad", "so so", "good"))
    with pytest.raises(ConfigError, match=r"has two classes .* but this one has 3"):
        three.explain("a film")
    two, _ = make_ensemble(tmp_path / "two")
    damaged(tmp_path / "two" / "member_2", text={"max_length": 1})
    other = load_bundled(tmp_path / "two")
    with pytest.raises(ConfigError, match="read other tokens of it"):
        other.explain("a film")
    assert two.explain("a film").tokens == ("a", "film")


def test_an_ensemble_may_be_a_member(tmp_path):
    inner, (first, second) = make_ensemble(tmp_path / "member_1", temperature=1.0)
    write_bundle(tmp_path / "member_2", TWO)
    save_ensemble(
        tmp_path,
        members=["member_1", "member_2"],
        weights=[0.5, 0.5],
        class_names=TWO,
        temperature=1.0,
    )
    outer = load_bundled(tmp_path)
    pooled = first.probabilities(TEXTS) ** 0.65 * second.probabilities(TEXTS) ** 0.35
    expected = pooled / pooled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outer.probabilities(TEXTS), expected, rtol=1e-6)
    assert len(outer.models()) == 3
    assert inner.class_names == TWO


@pytest.mark.parametrize(
    "changes", [{"members": []}, {"members": [{}]}, {"temperature": 0}, {"temperature": "hot"}]
)
def test_a_damaged_bundle_is_refused(tmp_path, changes):
    make_ensemble(tmp_path)
    damaged(tmp_path, **changes)
    with pytest.raises(DataError, match="not a usable bundle of an ensemble"):
        load_bundled(tmp_path)
    with pytest.raises(DataError, match="must be of format 1 to 3"):
        Predictor.load(tmp_path)
    (tmp_path / "classifier.json").write_text("[]")
    with pytest.raises(DataError, match="not a usable model bundle"):
        load_bundled(tmp_path)
    damaged_format = EnsemblePredictor.load
    with pytest.raises(DataError, match="an ensemble has format 10"):
        damaged_format(tmp_path / "member_1")
