"""Each private name that rnnlane uses is still there and does what it is used for.

After an upgrade of Ray or Optuna, what fails here has to be replaced in ray_cluster/internals.py.
"""

import os
import subprocess
import sys
from types import SimpleNamespace

import optuna
import pytest
import ray.dashboard.modules.dashboard_sdk as dashboard_sdk
from ray import cloudpickle
from ray._private import ray_constants, services
from ray.core.generated import gcs_service_pb2
from ray.data import Dataset
from ray.job_submission import JobSubmissionClient
from ray.tune.experiment import Trial

from rnnlane.ray_cluster import internals


def test_internals_are_cheap_to_import():
    code = (
        "import sys, rnnlane.ray_cluster.internals; "
        "print({'ray', 'optuna', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_enable_ray_cluster_makes_ray_use_loopback():
    before = ray_constants.ENABLE_RAY_CLUSTER
    with internals.loopback_only():
        assert services.get_node_ip_address() == "127.0.0.1"
    assert ray_constants.ENABLE_RAY_CLUSTER is before


def test_do_request_makes_the_requests_of_the_job_client(monkeypatch):
    asked = []

    def answer(method, address, **options):
        asked.append((address, options["timeout"]))
        content = {"version": "4", "ray_version": "2.0", "ray_commit": "", "jobs": {}}
        return SimpleNamespace(
            status_code=200, json=lambda: content, text="", raise_for_status=lambda: None
        )

    monkeypatch.setattr(dashboard_sdk.requests, "request", answer)
    monkeypatch.setenv("RAY_ADDRESS", "http://another:1")
    client = internals.job_client(
        "http://head:8265", connect_timeout_s=1.5, first_answer_timeout_s=10, answer_timeout_s=30
    )
    assert isinstance(client, JobSubmissionClient)
    assert {timeout for _, timeout in asked} == {(1.5, 10)}
    num_first = len(asked)
    client.get_version()
    assert [timeout for _, timeout in asked[num_first:]] == [(1.5, 30)]
    assert all(address.startswith("http://head:8265/") for address, _ in asked)
    assert os.environ["RAY_ADDRESS"] == "http://another:1"


def test_pickled_error_file_holds_the_error_of_a_tune_trial(tmp_path):
    assert isinstance(Trial.pickled_error_file, property)
    file = tmp_path / "error.pkl"
    file.write_bytes(cloudpickle.dumps(ValueError("no value")))
    error = internals.tune_trial_error(SimpleNamespace(pickled_error_file=str(file)))
    assert (type(error), str(error)) == (ValueError, "no value")


@pytest.mark.parametrize("name", [None, "/nowhere/error.pkl"])
def test_a_tune_trial_that_never_started_has_no_error(name):
    assert internals.tune_trial_error(SimpleNamespace(pickled_error_file=name)) is None


def test_trial_id_reopens_a_running_optuna_trial():
    study = optuna.create_study()
    drawn = study.ask().suggest_float("x", 0.0, 1.0)
    trial = internals.reopen_trial(study, study.trials[0])
    assert trial.suggest_float("x", 0.0, 1.0) == drawn
    study.tell(trial, 2.0)
    assert [each.value for each in study.trials] == [2.0]


def test_a_dataset_hands_over_its_blocks_with_their_sizes():
    """Used by data/prepare, which may not import this room."""
    assert callable(Dataset.iter_internal_ref_bundles)


def test_every_control_store_has_the_call_that_asks_for_it():
    package, method = internals._CONTROL_STORE_CALL.strip("/").split("/")
    name, _, service = package.rpartition(".")
    assert gcs_service_pb2.DESCRIPTOR.package == name
    assert method in gcs_service_pb2.DESCRIPTOR.services_by_name[service].methods_by_name


def test_running_ray_is_the_one_of_the_current_cluster_file(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    with pytest.raises(ConnectionError):
        internals.running_ray()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.1:6399")
    assert internals.running_ray() == "10.0.0.1:6399"


def test_find_node_ids_looks_at_the_processes_of_this_machine():
    assert all(len(node) == 56 for node in services.find_node_ids())


def test_the_log_of_a_start_that_fails_is_that_of_services():
    assert services.logger.name == "ray._private.services"
    with internals.without_startup_log():
        assert services.logger.disabled
    assert not services.logger.disabled
