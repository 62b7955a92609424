"""A job from a machine that has nothing but the package, over a cluster of several hosts."""

import json
from pathlib import Path

import pytest

from support.submitted import EPOCHS, assert_one_whole_run

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = [pytest.mark.slow, pytest.mark.hosts]


def test_the_run_is_visible_to_the_client_and_whole(cluster, uninterrupted):
    assert_one_whole_run(cluster, uninterrupted.name)
    listed = cluster.rnnlane("runs", "--json")
    assert listed.returncode == 0, listed.stderr
    run = next(run for run in json.loads(listed.stdout)["runs"] if run["name"] == "uninterrupted")
    assert (run["run_id"], run["status"]) == (uninterrupted.record["run_id"], "FINISHED")
    assert f"run {run['run_id']} at {cluster.mlflow_uri}" in uninterrupted.out


def test_gradients_crossed_between_the_hosts(cluster, uninterrupted):
    weights = uninterrupted.weights()
    dense_bytes = sum(value.nbytes for name, value in weights.items() if "embedding" not in name)
    num_steps = EPOCHS * 30
    # Each of two workers sends at least its own gradient and gets the other's.
    for moved in uninterrupted.bytes_moved:
        assert moved > 2 * num_steps * dense_bytes


def test_the_client_keeps_nothing_and_needs_nothing(cluster, uninterrupted):
    left = {path.name for path in cluster.client.folder.iterdir()} - {"home"}
    assert {name for name in left if not name.endswith(".yaml")} == set()
    assert not (cluster.client.home / ".rnnlane").exists()


def test_without_the_token_nothing_is_told_and_nothing_runs(cluster, uninterrupted):
    done = cluster.client.run(
        *("python", "-m", "rnnlane", "submit", "uninterrupted.yaml", "--address"),
        cluster.dashboard,
    )
    assert done.returncode == 2
    assert "token" in done.stderr


@pytest.mark.release
def test_a_shipped_experiment_trains_on_reviews_that_only_the_head_has(cluster):
    cluster.wait_for_nodes(3)
    experiment = str(EXPERIMENTS / "lstm-1.yaml")
    done = cluster.rnnlane("submit", experiment, "--set", "training.epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_one_whole_run(cluster, "lstm-1", epochs=1)
