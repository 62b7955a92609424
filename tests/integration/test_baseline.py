"""The linear baseline as a run like any other."""

import json

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from support.command import rnnlane, rnnlane_json, write_experiment


def test_the_baseline_is_a_run_like_any_other(tmp_path, ray_environment):
    home = tmp_path / "home"
    experiment = str(write_experiment(tmp_path))
    sample = ("--set", "sample_text=A wonderful film.")
    result = rnnlane_json(home, "baseline", experiment, *sample, **ray_environment)
    client = MlflowClient(result["tracking_uri"])
    mlflow.set_tracking_uri(result["tracking_uri"])
    run = client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/accuracy"] == result["metrics"]["test/accuracy"]
    assert run.data.params["baseline.num_words"] == "3"
    assert not [key for key in run.data.params if key.startswith(("model.", "training."))]
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"experiment.yaml", "manifest.json", "figures"} <= names
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    measured = {metric.key: metric.value for metric in model.metrics}
    assert measured["test/accuracy"] == result["metrics"]["test/accuracy"]
    assert measured["val/accuracy"] == result["metrics"]["val/accuracy"]
    scored = rnnlane_json(home, "evaluate", "--run", result["run_id"])
    assert scored["metrics"]["accuracy"] == result["metrics"]["test/accuracy"]
    asked = rnnlane_json(home, "predict", "--run", result["run_id"], result["sample"]["text"])
    assert asked["predictions"][0].items() >= result["sample"].items()
    changes = ("--set", "baseline.num_words=1", "--set", "baseline.refit=true")
    words = rnnlane_json(home, "baseline", experiment, *changes)
    assert words["num_ngrams"] < result["num_ngrams"]
    assert words["data_fingerprint"] == result["data_fingerprint"]
    scored = rnnlane(home, "evaluate", "--run", words["run_id"], "--split", "val", "--json")
    assert "the model is refitted on train and val" in scored.stderr
    assert json.loads(scored.stdout)["metrics"]["accuracy"] > words["metrics"]["val/accuracy"]
    tfidf = rnnlane_json(home, "baseline", experiment, "--set", "baseline.weighting=tfidf")
    assert tfidf["data_fingerprint"] == result["data_fingerprint"]
    check_ensemble(home, client, [words["run_id"], tfidf["run_id"]])


def check_ensemble(home, client, members):
    """An ensemble is a run like any other, too."""
    result = rnnlane_json(home, "ensemble", *members)
    run = client.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert [one["run_id"] for one in result["members"]] == members
    assert run.data.metrics["test/accuracy"] == result["metrics"]["test/accuracy"]
    assert run.data.metrics["members/1/weight"] == result["members"][0]["weight"]
    scored = rnnlane_json(home, "evaluate", "--run", result["run_id"])
    assert scored["metrics"]["accuracy"] == result["metrics"]["test/accuracy"]
    asked = rnnlane_json(home, "predict", "--run", result["run_id"], "A wonderful film.")
    assert sum(asked["predictions"][0]["probabilities"].values()) == pytest.approx(1.0)
    compared = rnnlane_json(home, "compare", members[0], result["run_id"])
    assert [one["model"] for one in compared["runs"]] == ["linear", "ensemble"]
    assert all(text["text"] for text in compared["texts"])
    promoted = rnnlane_json(home, "promote", result["run_id"], "--name", "reviews")
    assert promoted["is_moved"]
    model = mlflow.pyfunc.load_model(result["model_uri"])
    served = model.predict(pd.DataFrame({"text": ["A wonderful film."]}))
    assert served["label"][0] == asked["predictions"][0]["label"]
