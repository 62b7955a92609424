"""Drivers that die or are interrupted at the worst moments, on a real MLflow store."""

import json
import signal
import statistics
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from support.command import command_environment, rnnlane, rnnlane_json, write_experiment
from support.search import write_search

pytestmark = pytest.mark.slow

# Runs a verb in which one method does something else than it should.
PROGRAM = """
import os, signal, sys
import rnnlane
import rnnlane.execution.run as run
from rnnlane.tracking.run import MlflowTracker

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def interrupt(*_, **__):
    raise KeyboardInterrupt

def die_afterwards(*arguments, _start=run.start_run, **options):
    _start(*arguments, **options)
    die()

def on_finished(then, original=MlflowTracker.finish):
    def finish(self, status, *, reason=None):
        return (then if status == "FINISHED" else original)(self, status, reason=reason)
    return finish

{change}
getattr(rnnlane, sys.argv[1])(rnnlane.load_experiment(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lifecycle")


@pytest.fixture(scope="module")
def experiment(folder, ray_environment):
    """Its data is prepared already, so that training needs no Ray."""
    file = write_experiment(folder, runtime={"num_workers": 0}, training={"epochs": 1})
    rnnlane_json(folder / "home", "prepare", str(file), **ray_environment)
    return file


@pytest.fixture
def home(folder, experiment, request):
    """A store and records of its own, over the same prepared data."""
    home = folder / request.node.name
    home.mkdir()
    (home / "prepared").symlink_to(folder / "home" / "prepared")
    return home


def run_changed(home, change, verb, experiment, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(change=change), verb, str(experiment)],
        check=False,
        env=command_environment(home, **environment),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )


def only_run(home):
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    [run] = client.search_runs(experiments, "tags.`mlflow.parentRunId` IS NULL")
    return run


def only_record(home):
    [file] = home.glob("runs/*/run.json")
    return json.loads(file.read_text())


def test_a_driver_killed_as_its_run_was_created_leaves_none_running(home, experiment):
    done = run_changed(home, "run.start_run = die_afterwards", "train", experiment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert only_run(home).info.status == "RUNNING"
    assert [run["status"] for run in rnnlane_json(home, "runs")["runs"]] == ["KILLED"]
    result = rnnlane_json(home, "train", str(experiment), "--resume")
    assert only_run(home).info.run_id == result["run_id"]
    assert only_run(home).info.status == "FINISHED"


def test_inputs_that_were_written_but_not_logged_are_logged_by_resume(home, experiment):
    done = run_changed(home, "MlflowTracker.log_artifacts = die", "train", experiment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    result = rnnlane_json(home, "train", str(experiment), "--resume")
    client = MlflowClient(result["tracking_uri"])
    names = {item.path for item in client.list_artifacts(result["run_id"])}
    assert {"experiment.yaml", "manifest.json", "vocabulary.jsonl"} <= names


@pytest.mark.parametrize("verb", ["train", "baseline"])
def test_a_run_killed_in_delivery_is_finished(home, experiment, verb):
    change = "MlflowTracker.finish = on_finished(die)"
    done = run_changed(home, change, verb, experiment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [run["status"] for run in rnnlane_json(home, "runs")["runs"]] == ["FINISHED"]
    record = only_record(home)
    assert record["state"] == "finished"
    assert record["result"]["run_id"] == only_run(home).info.run_id
    assert record["result"]["sample"]["label"] in {"negative", "positive"}


def test_a_search_interrupted_in_delivery_is_finished(home, folder, ray_environment):
    search = write_search(folder, search={"num_trials": 1}, training={"epochs": 1})
    change = "MlflowTracker.finish = on_finished(interrupt)"
    done = run_changed(home, change, "tune", search, **ray_environment)
    assert done.returncode == 0, done.stderr
    assert [run["status"] for run in rnnlane_json(home, "runs")["runs"]] == ["FINISHED"]
    assert only_record(home)["result"]["best"]["number"] == 0
    again = rnnlane(home, "tune", str(search), "--resume", "--json")
    assert "the search has already finished" in again.stderr
    assert json.loads(again.stdout) == only_record(home)["result"]


DIE_IN_THE_SECOND = """
def die_in_the_second(self, *arguments, _log=MlflowTracker.log_model, _calls=[], **options):
    _calls.append(self)
    return die() if len(_calls) == 2 else _log(self, *arguments, **options)

MlflowTracker.log_model = die_in_the_second
"""


def test_seeds_whose_driver_was_killed_go_on_and_are_one_run_with_a_child_each(
    home, folder, ray_environment
):
    seeds = write_experiment(
        folder, name="seeds", runtime={"num_workers": 0}, training={"epochs": 1, "seeds": 2}
    )
    done = run_changed(home, DIE_IN_THE_SECOND, "train", seeds, **ray_environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    listed = rnnlane_json(home, "runs", "--trials")["runs"]
    assert {run["name"]: run["status"] for run in listed} == {
        "seeds": "KILLED",
        "seeds-seed-0": "FINISHED",
        "seeds-seed-1": "KILLED",
    }
    resumed = rnnlane(home, "train", str(seeds), "--resume", "--json", **ray_environment)
    assert resumed.returncode == 0, resumed.stderr
    assert "seed 0: has already finished" in resumed.stderr
    told = [
        [line for line in text.splitlines() if "train loss" in line]
        for text in (done.stderr, resumed.stderr)
    ]
    assert told[1] == told[0][1:], "as it was, with its seconds: it is not trained again"
    result = json.loads(resumed.stdout)

    whole = only_run(home)
    client = MlflowClient(result["tracking_uri"])
    children = client.search_runs(
        [whole.info.experiment_id], f"tags.`mlflow.parentRunId` = '{result['run_id']}'"
    )
    by_seed = {int(child.data.tags["rnnlane.seed"]): child for child in children}
    assert {run["run_id"] for run in listed} == {
        run.info.run_id for run in (whole, *by_seed.values())
    }
    assert whole.info.run_id == result["run_id"]
    assert [run.info.status for run in (whole, *children)] == ["FINISHED"] * 3
    assert "rnnlane.reason" not in whole.data.tags
    for key in ("test/accuracy", "best/val/loss"):
        values = [by_seed[seed].data.metrics[key] for seed in (0, 1)]
        expected = (statistics.fmean(values), statistics.stdev(values), min(values), max(values))
        names = (key, f"{key}_std", f"{key}_min", f"{key}_max")
        assert [whole.data.metrics[name] for name in names] == pytest.approx(expected)
    note = whole.data.tags["mlflow.note.content"]
    assert [note.count(by_seed[seed].info.run_id) for seed in (0, 1)] == [1, 1]
    assert "report.html" in {item.path for item in client.list_artifacts(whole.info.run_id)}
    assert not (whole.outputs and whole.outputs.model_outputs)

    asked = rnnlane(home, "predict", "A fine film.", "--json")
    assert len(json.loads(asked.stdout)["predictions"]) == 1
    best = by_seed[result["best_seed"]].info.run_id
    assert f"this is the model of seed {result['best_seed']}" in asked.stderr
    assert best[:8] in asked.stderr
    assert whole.data.tags["rnnlane.best_seed_run"] == best
