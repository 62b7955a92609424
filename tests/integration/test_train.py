"""Training on a real local Ray with two workers, by the command line and from Python."""

import json
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rnnlane.records.predictions import Predictions
from support.command import (
    checkpoints,
    kill_everything,
    ray_processes,
    rnnlane,
    rnnlane_json,
    start_rnnlane,
    wait_until,
    write_experiment,
)
from support.weights import weights_of

# Long enough to be disturbed five times, with a checkpoint every fraction of a second.
LONG = {
    "data": {"source": {"kind": "generated", "num_rows": 3000}},
    "model": {"embedding_dim": 24, "hidden_size": 24, "num_layers": 2, "dropout": 0.2},
    "training": {"epochs": 10, "checkpoint_every_s": 0.2, "learning_rate": 0.003},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def finished(folder):
    """One ordinary run: its answer, and the home that it is in."""
    home = folder / "ordinary"
    experiment = write_experiment(folder)
    return rnnlane_json(home, "train", str(experiment)), home, experiment


@pytest.fixture(scope="module")
def uninterrupted(folder):
    """The run that interrupted ones must equal."""
    home = folder / "uninterrupted"
    experiment = write_experiment(folder, name="long", **LONG)
    return rnnlane_json(home, "train", str(experiment)), home, experiment


def assert_same_run(result: dict, expected: dict) -> None:
    found, wanted = weights_of(result), weights_of(expected)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name] == tensor).all(), name
    for key in ("test/accuracy", "val/loss", "train/loss", "grad_norm/mean"):
        assert result["metrics"][key] == expected["metrics"][key]


def assert_one_whole_mlflow_run(result: dict, num_epochs: int) -> None:
    client = MlflowClient(result["tracking_uri"])
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert [run.info.run_id for run in runs] == [result["run_id"]]
    assert runs[0].info.status == "FINISHED"
    for key in ("train/loss", "val/accuracy", "throughput/rows_per_s"):
        steps = [point.step for point in client.get_metric_history(result["run_id"], key)]
        assert steps == list(range(1, num_epochs + 1)), key


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
    assert_one_whole_mlflow_run(result, num_epochs=2)
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


class Disturbed:
    """A run whose commands are cut off, one after the other."""

    def __init__(self, folder: Path, experiment: Path):
        self.home, self._folder, self._experiment = folder / "disturbed", folder, experiment
        self._num_commands = 0
        self._seen: set[Path] = set()

    def start(self, *options: str) -> None:
        self._num_commands += 1
        self._seen |= set(checkpoints(self.home))
        self._log = self._folder / f"disturbed-{self._num_commands}.log"
        arguments = ("train", str(self._experiment), *options)
        self.driver = start_rnnlane(self.home, self._log, *arguments)

    def wait_for_a_checkpoint(self) -> None:
        """Returns when there is one that there was not when last waited for."""

        def is_new() -> bool:
            assert self.driver.poll() is None, self.told
            found = set(checkpoints(self.home))
            new = found - self._seen
            self._seen |= found
            return bool(new)

        wait_until(is_new, what=f"a checkpoint: {self._log}")

    @property
    def told(self) -> str:
        return self._log.read_text()

    @property
    def states(self) -> list[str]:
        return [run["status"] for run in rnnlane_json(self.home, "runs")["runs"]]


@pytest.mark.timeout(1200)  # six commands, each with a Ray of its own
def test_a_run_that_is_disturbed_again_and_again_ends_as_an_undisturbed_one(uninterrupted, folder):
    """Killed workers and controllers cost nothing; a killed or interrupted command is resumed."""
    expected, _, experiment = uninterrupted
    run = Disturbed(folder, experiment)
    run.start()
    run.wait_for_a_checkpoint()
    ray_processes(run.driver.pid, "RayTrainWorker")[-1].kill()
    run.wait_for_a_checkpoint()
    # Another one may still be ending.
    controllers = ray_processes(run.driver.pid, "TrainController")
    max(controllers, key=lambda process: process.create_time()).kill()
    died = "Ray Train's controller died; continuing from the last checkpoint"
    wait_until(lambda: died in run.told, what="the note of the controller's death")
    run.wait_for_a_checkpoint()
    run.driver.send_signal(signal.SIGINT)
    assert run.driver.wait(timeout=120) == 130, run.told
    assert "--resume" in run.told
    assert run.states == ["KILLED"]

    run.start("--resume")
    run.wait_for_a_checkpoint()
    kill_everything(run.driver)
    assert run.states == ["KILLED"]

    result = rnnlane_json(run.home, "train", str(experiment), "--resume")
    assert_same_run(result, expected)
    assert_one_whole_mlflow_run(result, num_epochs=LONG["training"]["epochs"])


def test_a_refit_that_is_killed_ends_as_it_does_in_one_process(folder):
    training = {**LONG["training"], "refit": True, "ema": 0.9, "reduction_shards": 2}
    experiment = write_experiment(folder, name="refit", **{**LONG, "training": training})
    options = (str(experiment), "--set", "training.epochs=2")
    expected = rnnlane_json(folder / "refit_alone", "train", *options, "--workers", "0")
    home, log = folder / "refit", folder / "refit.log"
    driver = start_rnnlane(home, log, "train", *options)
    wait_until(lambda: any(map(is_of_refit, checkpoints(home))), what="a checkpoint of the refit")
    kill_everything(driver)
    result = rnnlane_json(home, "train", *options, "--resume")
    assert_same_run(result, expected)
    assert_one_whole_mlflow_run(result, num_epochs=2)
    client = MlflowClient(result["tracking_uri"])
    points = client.get_metric_history(result["run_id"], "refit/train/loss")
    assert [point.step for point in points] == list(range(1, result["best_epoch"] + 1))
    assert points[-1].value == expected["refit"]["train/loss"]


def is_of_refit(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text())["steps_before_refit"])
    except FileNotFoundError:  # Ray Train keeps two
        return False


def test_a_run_that_died_after_its_last_epoch_is_concluded_by_resume(uninterrupted):
    """As if the driver had been killed while it logged the model."""
    expected, home, experiment = uninterrupted
    record = next(home.glob("runs/*/run.json"))
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "state": "running", "result": None}))
    result = rnnlane_json(home, "train", str(experiment), "--resume")
    assert_same_run(result, expected)
    assert_one_whole_mlflow_run(result, num_epochs=LONG["training"]["epochs"])


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
