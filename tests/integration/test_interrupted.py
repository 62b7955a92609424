"""Runs on a real local Ray that are killed: they end as if nothing had been."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.command import (
    checkpoints,
    kill_everything,
    ray_processes,
    rnnlane_json,
    start_rnnlane,
    wait_until,
    write_experiment,
)
from support.mlflow_runs import assert_one_whole_run
from support.weights import weights_of

pytestmark = pytest.mark.slow

# Long enough to be disturbed several times, with a checkpoint every fraction of a second; equal to
# the last bit with two workers and in one process.
LONG = {
    "data": {"source": {"kind": "generated", "num_rows": 3000}},
    "model": {"embedding_dim": 24, "hidden_size": 24, "num_layers": 2, "dropout": 0.2},
    "training": {
        **{"epochs": 10, "checkpoint_every_s": 0.2, "learning_rate": 0.003},
        "reduction_shards": 2,
    },
}
ALONE = ("--workers", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("interrupted")


@pytest.fixture(scope="module")
def uninterrupted(folder, ray_environment):
    """The run that interrupted ones must equal."""
    home = folder / "uninterrupted"
    experiment = write_experiment(folder, name="long", **LONG)
    return rnnlane_json(home, "train", str(experiment), *ALONE, **ray_environment), home, experiment


def assert_same_run(result: dict, expected: dict) -> None:
    found, wanted = weights_of(result), weights_of(expected)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name] == tensor).all(), name
    for key in ("test/accuracy", "val/loss", "train/loss", "grad_norm/mean"):
        assert result["metrics"][key] == expected["metrics"][key]


class Disturbed:
    """A run whose commands are cut off, one after the other."""

    def __init__(self, folder: Path, experiment: Path, *options: str):
        self.home, self._folder = folder / "disturbed", folder
        self.arguments = ("train", str(experiment), *options)
        self._num_commands = 0
        self._seen: set[Path] = set()

    def start(self, *options: str) -> None:
        self._num_commands += 1
        self._seen |= set(checkpoints(self.home))
        self._log = self._folder / f"disturbed-{self._num_commands}.log"
        self.driver = start_rnnlane(self.home, self._log, *self.arguments, *options)

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


@pytest.mark.timeout(1200)
def test_a_run_that_is_disturbed_again_and_again_ends_as_an_undisturbed_one(
    uninterrupted, folder, ray_environment
):
    """Killed workers and controllers cost nothing; a killed command is resumed.

    It reads its rows from shards, the other one has them in memory: they are the same, as they
    fit into one window.
    """
    expected, _, experiment = uninterrupted
    streamed = ("--set", "data.feed=streaming")
    run = Disturbed(folder, experiment, *streamed)
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
    kill_everything(run.driver)
    assert run.states == ["KILLED"]

    result = rnnlane_json(run.home, *run.arguments, "--resume", **ray_environment)
    assert "train is streamed from shards" in run.told
    assert_same_run(result, expected)
    assert_one_whole_run(result, num_epochs=LONG["training"]["epochs"])


@pytest.mark.release
def test_a_refit_that_is_killed_ends_as_it_does_in_one_process(folder, ray_environment):
    training = {**LONG["training"], "refit": True, "ema": 0.9}
    experiment = write_experiment(folder, name="refit", **{**LONG, "training": training})
    options = (str(experiment), "--set", "training.epochs=2")
    expected = rnnlane_json(folder / "refit_alone", "train", *options, *ALONE, **ray_environment)
    home, log = folder / "refit", folder / "refit.log"
    driver = start_rnnlane(home, log, "train", *options)
    wait_until(lambda: any(map(is_of_refit, checkpoints(home))), what="a checkpoint of the refit")
    kill_everything(driver)
    result = rnnlane_json(home, "train", *options, "--resume", **ray_environment)
    assert_same_run(result, expected)
    assert_one_whole_run(result, num_epochs=2)
    client = MlflowClient(result["tracking_uri"])
    points = client.get_metric_history(result["run_id"], "refit/train/loss")
    assert [point.step for point in points] == list(range(1, result["best_epoch"] + 1))
    assert points[-1].value == expected["refit"]["train/loss"]


def is_of_refit(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text())["steps_before_refit"])
    except FileNotFoundError:  # Ray Train keeps two
        return False


def test_a_run_that_died_after_its_last_epoch_is_concluded_by_resume(
    uninterrupted, ray_environment
):
    """As if the driver had been killed while it logged the model."""
    expected, home, experiment = uninterrupted
    record = next(home.glob("runs/*/run.json"))
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "state": "running", "result": None}))
    arguments = ("train", str(experiment), *ALONE, "--resume")
    result = rnnlane_json(home, *arguments, **ray_environment)
    assert_same_run(result, expected)
    assert_one_whole_run(result, num_epochs=LONG["training"]["epochs"])
