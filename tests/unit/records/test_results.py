import json

import pytest

from rnnlane.records.results import BaselineResult, Evaluation


def test_a_result_survives_json():
    result = BaselineResult(
        run_id="r",
        tracking_uri="sqlite:///x",
        data_fingerprint="d",
        model_uri="runs:/r/model",
        metrics={"test/accuracy": 0.5},
        num_ngrams=3,
        fit_s=0.1,
        sample={"label": "positive"},
        run_folder="/x",
    )
    assert BaselineResult(**json.loads(json.dumps(result.as_dict()))) == result


def test_a_result_is_plain_values():
    scores = Evaluation("r", "test", 2, {"loss": 0.1}, ("a", "b"), [[1, 0], [0, 1]])
    assert scores.as_dict()["confusion"] == [[1, 0], [0, 1]]


def test_an_evaluation_tells_each_class_and_what_is_confused():
    confusion = [[3, 1, 0], [2, 2, 0], [0, 0, 0]]
    found = Evaluation("ab", "test", 8, {}, ("a", "b", "c"), confusion)
    assert found.classes[0] == {
        "class": "a",
        "precision": 3 / 5,
        "recall": 3 / 4,
        "f1": pytest.approx(2 / 3),
        "rows": 4,
    }
    nothing = {"precision": None, "recall": None, "f1": None, "rows": 0}
    assert found.classes[2] == {"class": "c", **nothing}
    assert found.most_confused(5) == [("b", "a", 2), ("a", "b", 1)]
    assert found.most_confused(1) == [("b", "a", 2)]
    assert found.as_dict()["classes"] == found.classes
