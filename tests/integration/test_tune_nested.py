"""Trials with workers of their own, on a Ray of two CPUs that other jobs may share."""

import pytest
import ray
from mlflow import MlflowClient

from rnnlane import pipeline
from rnnlane.config import load_experiment
from rnnlane.errors import ResourceError
from rnnlane.ray_cluster.connect import HEALTH_CHECK_INTERVAL_S
from support.search import (
    assert_mlflow_tells_the_truth,
    mlflow_runs,
    poll,
    ray_processes,
    stored_trials,
    write_search,
)

pytestmark = [pytest.mark.slow, pytest.mark.release]

NUM_TRIALS = 6


@pytest.fixture(scope="module")
def two_cpus():
    variables = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": HEALTH_CHECK_INTERVAL_S,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
        )
        yield
        ray.shutdown()


@pytest.fixture
def home(two_cpus, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def tune(experiment, *overrides):
    return pipeline.tune(load_experiment(experiment, list(overrides))).as_dict()


def is_all_given_back() -> bool:
    groups = ray.util.placement_group_table().values()
    return (
        ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]
        and not [group for group in groups if group["state"] in {"CREATED", "PENDING"}]
        and not ray_processes("ray::RayTrainWorker", "ray::ImplicitFunc", "ray::TrainController")
    )


@pytest.mark.parametrize(
    ("override", "arithmetic"),
    [
        ("search.workers_per_trial=3", "3 workers x 1 CPUs = 3 CPUs, but Ray has 2"),
        ("search.cpus_per_worker=2.5", "1 workers x 2.5 CPUs = 2.5 CPUs, but Ray has 2"),
        ("search.gpus_per_worker=1", "1 workers x 1 GPUs = 1 GPUs, but Ray has 0"),
    ],
)
def test_trials_that_do_not_fit_are_refused_and_leave_nothing(home, tmp_path, override, arithmetic):
    experiment = write_search(tmp_path)
    with pytest.raises(ResourceError, match=arithmetic) as refused:
        tune(experiment, override)
    assert refused.value.exit_code == 2
    assert not list((home / "runs").glob("*"))
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    assert client.search_runs([each.experiment_id for each in client.search_experiments()]) == []


def test_two_workers_a_trial_find_what_one_finds(home, tmp_path):
    experiment = write_search(
        tmp_path,
        training={"clip": {"policy": "auto", "calibration_steps": 8}},
        search={
            **{"algorithm": "grid", "scheduler": "none"},
            "space": {"model.hidden_size": "choice(8, 12)"},
        },
    )
    one = tune(experiment)
    two = tune(experiment, "search.workers_per_trial=2", "search.cpus_per_worker=0.5")
    assert two["run_id"] != one["run_id"]
    assert two["num_failed"] == 0
    trials = zip(stored_trials(two["run_folder"]), stored_trials(one["run_folder"]), strict=True)
    for found, expected in trials:
        assert found.end == expected.end == "finished"
        for record, wanted in zip(found.history, expected.history, strict=True):
            for name in ("val/loss", "train/loss", "clip/max_norm"):
                assert record[name] == pytest.approx(wanted[name], abs=1e-4), name
    assert poll(is_all_given_back, timeout_s=60) is not None


def test_everything_is_given_back_after_nested_trials(home, tmp_path):
    """The first learns; the others learn so little that they are cut after an epoch."""
    rates = [0.02, *(1e-6 * (30 - number) for number in range(NUM_TRIALS - 1))]
    experiment = write_search(
        tmp_path,
        training={"epochs": 3, "metric": "val/loss"},
        search={
            **{"algorithm": "grid", "scheduler": "asha", "reduction_factor": 30},
            **{"num_trials": NUM_TRIALS, "max_concurrent": 3},
            **{"workers_per_trial": 2, "cpus_per_worker": 0.25},
            "space": {"training.learning_rate": {"choice": rates}},
        },
    )
    result = tune(experiment)
    assert result["num_trials"] == NUM_TRIALS
    assert result["num_failed"] == 0
    took_s = poll(is_all_given_back, timeout_s=120)
    assert took_s is not None, (ray.available_resources(), ray.util.placement_group_table())
    print(f"{NUM_TRIALS} nested trials, {result['num_pruned']} pruned: {result['elapsed_s']:.0f} s")
    print(f"all given back {took_s:.1f} s after the end")
    assert result["num_pruned"] >= NUM_TRIALS - 4
    assert_mlflow_tells_the_truth(result)
    _, children = mlflow_runs(result["tracking_uri"])
    assert len(children) == NUM_TRIALS
