import json

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
