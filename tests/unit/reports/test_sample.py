import numpy as np
import pytest

from rnnlane.inference.bundle import save_bundle
from rnnlane.inference.predictor import Predictor
from rnnlane.reports.sample import sample_answer
from support.runs import trained
from support.tiny import tiny_data, tiny_experiment
from support.tracked import keys_of, tiny_prepared


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
        prepared=tiny_prepared(),
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
    assert found["text"] == f"text of val {keys_of(val)[row]}"
    assert found["true_label"] == predictor.class_names[val.labels[row]]
    [probabilities] = predictor.predict_rows(val.take(np.array([row]))).probabilities
    assert list(found["probabilities"].values()) == probabilities.tolist()
    assert found["num_tokens"] == val.lengths[row]
    assert found["is_sure"] in {True, False}
    assert answer(predictor) == found


def test_null_turns_it_off(predictor):
    assert answer(predictor, "sample_text=null") is None
