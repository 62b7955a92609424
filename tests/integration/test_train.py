"""Training on a real local Ray with two workers, by the command line and from Python."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rnnlane.records.predictions import Predictions
from support.command import (
    rnnlane,
    rnnlane_json,
    write_experiment,
)
from support.mlflow_runs import assert_one_whole_run
from support.weights import weights_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def finished(folder):
    """One ordinary run: its answer, and the home that it is in."""
    home = folder / "ordinary"
    experiment = write_experiment(folder)
    return rnnlane_json(home, "train", str(experiment)), home, experiment


def test_train_answers_with_what_a_program_needs(finished):
    result, home, _ = finished
    for key in ("run_id", "tracking_uri", "config_fingerprint", "data_fingerprint", "model_uri"):
        assert isinstance(result[key], str)
    assert Path(result["prepared_path"]).is_dir()
    assert result["epochs"] == 2
    for metrics in (result["metrics"], result["metrics"]["last"], result["metrics"]["best"]):
        assert 0 <= metrics["test/accuracy"] <= 1
        assert metrics["throughput/rows_per_s"] > 0
    assert str(home) in result["tracking_uri"]


def test_the_run_is_whole_in_mlflow(finished):
    result, _, _ = finished
    assert_one_whole_run(result, num_epochs=2)
    client = MlflowClient(result["tracking_uri"])
    run = client.get_run(result["run_id"])
    assert run.data.params["training.clip.max_norm"] == "3.0"
    for tag in ("git.commit", "version.torch", "hardware.cpu", "ray.job_id"):
        assert run.data.tags[tag]
    assert run.data.tags["rnnlane.data_fingerprint"] == result["data_fingerprint"]
    names = {item.path for item in client.list_artifacts(result["run_id"])}
    assert {"experiment.yaml", "manifest.json", "vocabulary.jsonl", "report.html"} <= names
    figures = {item.path for item in client.list_artifacts(result["run_id"], "figures")}
    expected = ("curves", "confusion", "gradient_norms", "confidence", "calibration")
    assert figures == {f"figures/{name}.png" for name in expected}


def test_the_model_answers_by_the_command_line(finished, folder):
    result, home, _ = finished
    picture = folder / "answer.png"
    answer = rnnlane_json(
        home,
        "predict",
        "--run",
        result["run_id"][:8],
        "A wonderful film.",
        "So dull.",
        "--plot",
        str(picture),
    )
    assert [each["text"] for each in answer["predictions"]] == ["A wonderful film.", "So dull."]
    for each in answer["predictions"]:
        assert set(each["probabilities"]) == {"negative", "positive"}
        assert each["label"] == max(each["probabilities"], key=each["probabilities"].get)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluate_agrees_with_the_test_that_training_made(finished):
    result, home, _ = finished
    found = rnnlane_json(home, "evaluate", "--run", result["run_id"])
    assert found["metrics"]["accuracy"] == result["metrics"]["test/accuracy"]
    assert found["metrics"]["loss"] == pytest.approx(result["metrics"]["test/loss"], abs=1e-6)
    assert sum(map(sum, found["confusion"])) == found["num_rows"] == 120


def test_runs_lists_it(finished):
    result, home, _ = finished
    runs = rnnlane_json(home, "runs")["runs"]
    assert [run["run_id"] for run in runs] == [result["run_id"]]
    table = rnnlane(home, "runs").stdout
    assert result["run_id"][:8] in table
    assert "FINISHED" in table


def test_resuming_a_finished_run_answers_with_it(finished):
    result, home, experiment = finished
    assert rnnlane_json(home, "train", str(experiment), "--resume") == result


def test_one_process_and_two_workers_find_the_same(finished):
    result, home, experiment = finished
    other = home.parent / "alone"
    other.mkdir()
    # No Ray is needed where the data has been prepared.
    (other / "prepared").symlink_to(home / "prepared")
    alone = rnnlane_json(other, "train", str(experiment), "--workers", "0")
    assert alone["data_fingerprint"] == result["data_fingerprint"]
    assert alone["config_fingerprint"] == result["config_fingerprint"]
    found, wanted = weights_of(alone), weights_of(result)
    for name, tensor in wanted.items():
        assert abs(found[name] - tensor).max() < 1e-3, name
    for split in ("val", "test"):
        ours, theirs = predictions_of(alone, split), predictions_of(result, split)
        assert (ours.row_keys == theirs.row_keys).all()
        assert abs(ours.probabilities - theirs.probabilities).max() < 1e-3
        assert theirs.is_right.mean() == result["metrics"]["best"][f"{split}/accuracy"]


def predictions_of(result: dict, split: str) -> Predictions:
    client = MlflowClient(result["tracking_uri"])
    file = client.download_artifacts(result["run_id"], f"predictions/{split}.parquet")
    return Predictions.read(Path(file))


def test_a_run_is_compared_with_a_baseline(finished, folder):
    result, home, experiment = finished
    linear = rnnlane_json(home, "baseline", str(experiment))
    picture = folder / "compared.png"
    runs = (linear["run_id"][:8], result["run_id"])
    comparison = rnnlane_json(home, "compare", *runs, "--plot", str(picture))
    (test,) = comparison["tests"]
    assert test["num_rows"] == comparison["runs"][1]["num_rows"] == 120
    assert test["first_accuracy"] == linear["metrics"]["test/accuracy"]
    assert test["second_accuracy"] == result["metrics"]["test/accuracy"]
    texts = comparison["texts"]
    assert texts
    assert all(len(row["text"]) > 10 for row in texts)
    assert picture.stat().st_size > 10_000


def test_workers_that_do_not_fit_are_refused_with_the_arithmetic(finished):
    _, home, experiment = finished
    before = rnnlane_json(home, "runs"), len(list((home / "runs").iterdir()))
    done = rnnlane(
        home,
        "train",
        str(experiment),
        "--json",
        "--set",
        "runtime.device=gpu",
        "--set",
        "seed=0",
    )
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert "2 workers x 1 GPU = 2 GPUs, but this machine has 0" in error["message"]
    after = rnnlane_json(home, "runs"), len(list((home / "runs").iterdir()))
    assert after == before
