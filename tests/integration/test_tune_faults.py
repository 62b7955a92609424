"""Searches that are killed, interrupted, or whose trials fail."""

import json
import os
import signal

import psutil
import pytest
from mlflow import MlflowClient

from support.command import (
    kill_everything,
    rnnlane,
    rnnlane_json,
    start_rnnlane,
    wait_until,
)
from support.search import (
    assert_mlflow_tells_the_truth,
    assert_went_on_from,
    is_in_mid_search,
    mark_checkpoints,
    mlflow_runs,
    run_folder,
    stored_trials,
    table,
    trial_processes,
    write_search,
)

pytestmark = pytest.mark.slow

# Trials of some seconds, so that they can be killed in the middle.
LONG = {
    "data": {"source": {"kind": "generated", "num_rows": 2500}},
    "model": {"embedding_dim": 16, "num_layers": 2, "dropout": 0.2},
    "training": {"epochs": 9, "clip": {"policy": "auto", "calibration_steps": 8}},
}
SEARCH = {
    "num_trials": 6,
    "space": {
        "training.learning_rate": "loguniform(1e-4, 1e-2)",
        "model.hidden_size": "choice(16, 24)",
    },
}
MARK_S = 1000.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tune_faults")


@pytest.fixture(scope="module")
def experiment(folder):
    return write_search(folder, search=SEARCH, **LONG)


@pytest.fixture(scope="module")
def uninterrupted(folder, experiment):
    """The search that interrupted ones must equal."""
    return rnnlane_json(folder / "uninterrupted", "tune", str(experiment))


def answer(log):
    """The one line of JSON among what was told."""
    return json.loads(next(line for line in log.read_text().splitlines() if line[:1] == "{"))


def start(home, experiment, *options):
    """Starts the search or goes on with it; returns in mid-search, after a new epoch."""
    num_before = num_epochs(home)
    log = home.parent / f"{home.name}-{num_before}.log"
    driver = start_rnnlane(home, log, "tune", str(experiment), "--json", *options)
    wait_for_an_epoch(home, driver, log, num_before)
    return driver, log


def num_epochs(home):
    folder = run_folder(home)
    return sum(len(trial.history) for trial in stored_trials(folder)) if folder else 0


def wait_for_an_epoch(home, driver, log, num_before):
    def is_there():
        assert driver.poll() is None, log.read_text()
        return is_in_mid_search(home) and num_epochs(home) > num_before

    wait_until(is_there, what=f"mid-search: {log}")


class CutOff:
    """What a search had when it was cut off; the epoch under way is marked in its checkpoint."""

    def __init__(self, home):
        self.trials = stored_trials(run_folder(home))
        self.num_saved = mark_checkpoints(home, elapsed_s=MARK_S)

    def assert_continued(self, home, log):
        """No epoch was trained again, and the trial under way went on from its checkpoint."""
        after = stored_trials(run_folder(home))
        assert_went_on_from(self.trials, after)
        assert "continuing: " in log.read_text()
        (number,) = [n for n, trial in enumerate(self.trials) if trial.end == "running"]
        num_known, history = len(self.trials[number].history), after[number].history
        assert self.num_saved > 0
        # The epoch that was under way when its checkpoint was written; the checkpoint may be ahead
        # of what was told, or behind: then that epoch is trained again, but not told again.
        if num_known <= self.num_saved < len(history):
            assert history[self.num_saved]["time/epoch_s"] >= MARK_S


def assert_killed(home):
    """MLflow has the search and its trial under way as killed."""
    parent, children = mlflow_runs(f"sqlite:///{home}/mlflow.db")
    assert parent.info.status == "KILLED"
    ends = [trial.end for trial in stored_trials(run_folder(home))]
    statuses = [children[key].info.status for key in sorted(children)]
    assert statuses == ["FINISHED" if end == "finished" else "KILLED" for end in ends]


def cut_off(way, home, driver, log):
    """Ends a search in one of the ways in which it may be cut off."""
    if way == "driver":
        trials = trial_processes(driver.pid)
        driver.kill()
        driver.wait(timeout=30)
        # Until Ray ends it, a trial without a driver may finish its epoch and write a checkpoint.
        psutil.wait_procs(trials, timeout=60)
    elif way == "everything":
        kill_everything(driver)
        statuses = {run["status"] for run in rnnlane_json(home, "runs")["runs"]}
        assert "RUNNING" not in statuses
        assert "KILLED" in statuses
    else:
        if way == "SIGINT":
            # As a terminal does: Ctrl-C goes to all that the command has started.
            os.killpg(driver.pid, signal.SIGINT)
        else:
            driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=120) == 130, log.read_text()
        assert "--resume" in log.read_text()
        assert_killed(home)


SIGTERM = pytest.param(("SIGTERM", "everything"), marks=pytest.mark.release)


@pytest.mark.timeout(1200)  # three searches, and the one that they must equal
@pytest.mark.parametrize("ways", [("SIGINT", "driver"), SIGTERM], ids="-".join)
def test_a_search_that_is_cut_off_and_resumed_ends_as_an_uninterrupted_one(
    uninterrupted, folder, experiment, ways
):
    home = folder / "-".join(ways)
    driver, log = start(home, experiment)
    cut_off(ways[0], home, driver, log)
    first = CutOff(home)
    driver, log = start(home, experiment, "--resume")
    cut_off(ways[1], home, driver, log)
    first.assert_continued(home, log)
    second = CutOff(home)
    done = home.parent / f"{home.name}-end.log"
    assert (
        start_rnnlane(home, done, "tune", str(experiment), "--json", "--resume").wait(timeout=300)
        == 0
    ), done.read_text()
    second.assert_continued(home, done)
    result = answer(done)
    assert table(result) == table(uninterrupted)
    assert result["epochs_trained"] == uninterrupted["epochs_trained"]
    assert_mlflow_tells_the_truth(result)


@pytest.mark.release
def test_a_search_ends_as_if_no_trial_had_been_killed(uninterrupted, folder, experiment):
    home = folder / "actor"
    driver, log = start(home, experiment)
    for process in trial_processes(driver.pid):
        process.kill()
    assert driver.wait(timeout=300) == 0, log.read_text()
    result = answer(log)
    assert table(result) == table(uninterrupted)
    assert_mlflow_tells_the_truth(result)


@pytest.mark.release
def test_a_trial_whose_loss_is_not_finite_fails_and_the_search_goes_on(folder):
    """A learning rate that gives NaN; the search goes on and the answer counts it."""
    home = folder / "nan"
    home.mkdir()
    experiment = write_search(
        home,
        model={"cell": "rnn"},
        training={"max_nonfinite_steps": 2, "clip": {"policy": "none"}},
        search={
            "algorithm": "grid",
            "scheduler": "none",
            "space": {"training.learning_rate": "choice(0.01, 1e38, 0.02)"},
        },
    )
    done = rnnlane(home / "home", "tune", str(experiment), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["num_trials"], result["num_failed"]) == (3, 1)
    assert "trial 1 failed" in done.stderr
    assert_mlflow_tells_the_truth(result)
    _, children = mlflow_runs(result["tracking_uri"])
    failed = [run for run in children.values() if run.info.status == "FAILED"]
    assert "not finite" in failed[0].data.tags["rnnlane.reason"]
    assert "\n" not in failed[0].data.tags["rnnlane.reason"]


@pytest.mark.release
def test_a_trial_whose_process_is_killed_again_and_again_fails_alone(folder, experiment):
    home = folder / "again"
    driver, log = start(home, experiment, "--set", "search.num_trials=4")
    doomed = len(stored_trials(run_folder(home))) - 1

    def kill_until_failed():
        trials = stored_trials(run_folder(home))
        if trials[doomed].end != "running":
            return True
        for process in trial_processes(driver.pid):
            process.kill()
        return False

    wait_until(kill_until_failed, what="the trial's end")
    assert driver.wait(timeout=300) == 0, log.read_text()
    result = answer(log)
    assert (result["num_trials"], result["num_failed"]) == (4, 1)
    assert stored_trials(result["run_folder"])[doomed].end == "failed"
    assert_mlflow_tells_the_truth(result)
    _, children = mlflow_runs(result["tracking_uri"])
    failed = [run for run in children.values() if run.info.status == "FAILED"]
    assert failed[0].data.tags["rnnlane.reason"]


@pytest.mark.release
def test_a_search_whose_trials_all_fail_says_so(folder):
    home = folder / "all"
    home.mkdir()
    experiment = write_search(
        home,
        model={"cell": "rnn"},
        training={"max_nonfinite_steps": 1, "clip": {"policy": "none"}},
        search={
            "num_trials": 2,
            "max_retries": 0,
            "space": {"training.learning_rate": "choice(1e37, 1e38)"},
        },
    )
    done = rnnlane(home / "home", "tune", str(experiment), "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["best"] is None
    assert result["best_config"] is None
    assert result["num_failed"] == result["num_trials"] == 2
    assert "none of the 2 trials succeeded" in done.stderr
    parent, children = mlflow_runs(result["tracking_uri"])
    assert {run.info.status for run in children.values()} == {"FAILED"}
    client = MlflowClient(result["tracking_uri"])
    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "report.html"} <= names
