import numpy as np
import pytest

from rnnlane.inference.bundle import save_bundle
from rnnlane.inference.predictor import Predictor
from rnnlane.reports.sample import sample_answer
from support.runs import trained
from support.tiny import tiny_data, tiny_experiment
from support.tracked import tiny_prepared


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    config, prepared = tiny_experiment(), tiny_prepared()
    save_bundle(
        folder := tmp_path_factory.mktemp("bundle"),
        weights=trained("training.epochs=1").weights,
        vocabulary=prepared.vocabulary_text(),
        text=config.text,
        model=config.model.model_dump(mode="json"),
        class_names=prepared.class_names,
    )
    return Predictor.load(folder)


def answer(predictor, *overrides):
    return sample_answer(
        tiny_experiment(*overrides),
        predictor,
        val=tiny_data().splits["val"],
        vocabulary=tiny_prepared().vocabulary(),
    )


def test_a_given_text_is_classified(predictor):
    found = answer(predictor, "sample_text=so good")
    assert found["text"] == "so good"
    [row] = predictor.probabilities(["so good"])
    assert list(found["probabilities"].values()) == pytest.approx(row.tolist())
    assert "true_label" not in found


def test_by_default_a_row_of_the_val_split_is(predictor):
    found, val = answer(predictor), tiny_data().splits["val"]
    row = int(np.abs(val.lengths - 16).argmin())
    tokens, _ = val.tokens_of(np.array([row]))
    assert found["text"] == " ".join(tiny_prepared().vocabulary().decode(tokens))
    assert found["true_label"] == predictor.class_names[val.labels[row]]
    assert answer(predictor) == found
    joined = answer(predictor, "text.tokenizer=characters")
    assert joined["text"] == found["text"].replace(" ", "")


def test_null_turns_it_off(predictor):
    assert answer(predictor, "sample_text=null") is None
