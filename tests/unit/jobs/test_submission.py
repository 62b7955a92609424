"""Ids, environment and earlier jobs, on a cluster that only remembers what it was sent."""

import dataclasses
from pathlib import Path

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.fingerprint import fingerprint
from rnnlane.config.paths import home
from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs import submission
from rnnlane.jobs import versions as job_versions
from rnnlane.jobs.client import Job
from rnnlane.jobs.submission import SubmitOptions, entrypoint, job_environment, submit
from rnnlane.jobs.versions import Versions

SEARCH = {"num_trials": 2, "space": {"model.hidden_size": "choice(8, 16)"}}


def experiment(*overrides, **changes):
    values = {"name": "x", "data": {"source": {"kind": "generated"}}, **changes}
    return experiment_from_mapping(values, overrides)


class Remembering:
    address = "http://head:8265"

    def __init__(self):
        self.sent = {}
        self.orders = {}
        self.taken = set()

    def jobs(self):
        return list(self.sent.values())

    def job(self, submission_id):
        return self.sent[submission_id]

    def submit(self, submission_id, *, entrypoint, runtime_env, metadata):
        if submission_id in self.taken:
            self.sent[submission_id] = Job(submission_id, "RUNNING", metadata=metadata)
            raise JobError(f"ValueError: Job with submission_id {submission_id} already exists.")
        self.sent[submission_id] = Job(submission_id, "RUNNING", metadata=metadata)
        self.orders[submission_id] = (entrypoint, runtime_env, metadata)

    def ends(self, submission_id, status):
        self.sent[submission_id] = dataclasses.replace(self.sent[submission_id], status=status)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(job_versions, "ask", lambda client: job_versions.here())
    return Remembering()


def sent(cluster, config=None, **options):
    notes = []
    job = submit(config or experiment(), cluster, SubmitOptions(**options), note=notes.append)
    return job.submission_id


def test_the_id_is_name_fingerprint_and_attempt(cluster):
    name, fingerprint, attempt = sent(cluster).removeprefix("rnnlane-").split("-")
    assert (name, len(fingerprint), attempt) == ("x", 8, "1")
    other = sent(cluster, experiment("training.epochs=3"))
    assert other.startswith("rnnlane-x-")
    assert fingerprint not in other


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "SUCCEEDED"])
def test_the_same_thing_twice_is_one_job(cluster, status):
    first = sent(cluster)
    cluster.ends(first, status)
    assert sent(cluster) == first
    assert len(cluster.sent) == 1


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
def test_after_a_job_that_failed_the_next_attempt_resumes(cluster, status):
    first = sent(cluster)
    cluster.ends(first, status)
    second = sent(cluster)
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    assert cluster.orders[second][0].endswith(" train x.yaml --resume")


def test_again_starts_a_new_run_even_beside_a_running_one(cluster):
    first, second = sent(cluster), sent(cluster, again=True)
    assert (first[:-2], second[-2:]) == (second[:-2], "-2")
    assert not cluster.orders[second][0].endswith("--resume")


def test_a_finished_search_with_more_trials_is_sent_again_to_go_on(cluster):
    first = sent(cluster, experiment(search=SEARCH))
    more = experiment(search={**SEARCH, "num_trials": 3})
    assert sent(cluster, more) == first, "one at a time"
    cluster.ends(first, "SUCCEEDED")
    second = sent(cluster, more)
    assert second[-2:] == "-2"
    assert cluster.orders[second][0].endswith(" tune x.yaml --resume")


@pytest.fixture
def code(monkeypatch):
    """Makes rnnlane's own code, as it is sent, another one."""

    def change(text):
        monkeypatch.setattr(submission, "digest", lambda files: fingerprint(text))

    return change


def test_changed_code_or_data_is_a_job_of_its_own_even_after_a_success(cluster, code):
    first = sent(cluster)
    cluster.ends(first, "SUCCEEDED")
    code("changed")
    second = sent(cluster)
    assert second[-2:] == "-2"
    assert second[:-2] != first[:-2]
    cluster.ends(second, "SUCCEEDED")
    assert sent(cluster) == second


def test_changed_code_waits_for_the_job_that_runs(cluster, code):
    first = sent(cluster)
    code("changed")
    with pytest.raises(ConfigError, match=f"{first} is still running, with other code") as caught:
        sent(cluster)
    assert f"rnnlane jobs stop {first}" in caught.value.remedy
    assert sent(cluster, again=True)[-2:] == "-2"


def test_data_that_is_on_the_cluster_is_looked_at_again(cluster):
    config = experiment(data={"source": {"kind": "csv", "path": "/data/reviews.csv"}})
    first = sent(cluster, config)
    assert sent(cluster, config) == first
    cluster.ends(first, "SUCCEEDED")
    second = sent(cluster, config)
    assert second == first[:-1] + "2"
    assert cluster.orders[second][0].endswith(" --resume")


def test_two_who_send_at_the_same_moment_share_the_job(cluster):
    cluster.taken.add(sent(cluster))
    cluster.sent.clear()
    assert sent(cluster) in cluster.taken


def test_metadata_names_the_sender_and_the_experiment(cluster):
    job_id = sent(cluster)
    _, runtime_env, metadata = cluster.orders[job_id]
    assert metadata["rnnlane.experiment"] == "x"
    assert metadata["rnnlane.verb"] == "train"
    assert metadata["rnnlane.submission_id"] == job_id
    assert metadata["rnnlane.user"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert set(runtime_env) == {"working_dir", "env_vars"}


def test_the_home_is_the_heads_and_never_the_working_directory(cluster, monkeypatch):
    job_id = sent(cluster)
    assert cluster.orders[job_id][1]["env_vars"]["RNNLANE_JOB"] == job_id
    monkeypatch.delenv("RNNLANE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ana")
    assert home() == Path.cwd() / ".rnnlane"
    monkeypatch.setenv("RNNLANE_JOB", job_id)
    assert home() == Path("/home/ana/.rnnlane")
    monkeypatch.setenv("RNNLANE_HOME", "/data")
    assert home() == Path("/data")


def test_the_command_names_the_experiment_as_rays_dashboard_shows_it():
    command = entrypoint(experiment(), resume=True)
    assert command == "exec python -m rnnlane train x.yaml --resume"


def test_accounts_go_by_reference_only():
    environ = {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "hunter2",
        "MLFLOW_TRACKING_TOKEN": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "RNNLANE_CREDENTIALS_FILE": "/home/me/mlflow.ini",
    }
    found = job_environment(experiment(), environ, credentials_file="/etc/rnnlane/mlflow.ini")
    assert found.pop("RAY_JOB_STOP_WAIT_TIME_S") == "90", "longer than the driver waits for MLflow"
    assert found == {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "RNNLANE_CREDENTIALS_FILE": "/etc/rnnlane/mlflow.ini",
    }
    own = experiment("tracking.uri=http://other:5000")
    assert "MLFLOW_TRACKING_URI" not in job_environment(own, environ, credentials_file=None)
    assert "RNNLANE_CREDENTIALS_FILE" not in job_environment(own, environ, credentials_file=None)


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("tracking.uri=http://me:hunter2@mlflow", "tracking.uri"),
        ("tracking.uri=postgresql://me:hunter2@db/mlflow", "tracking.uri"),
        ("tracking.uri=sqlite:///mlflow.db", "tracking.uri"),
        ("runtime.storage_path=here", "runtime.storage_path"),
        ("runtime.storage_path=~/here", "runtime.storage_path"),
    ],
)
def test_secrets_and_temporary_places_are_refused(override, where):
    with pytest.raises(ConfigError) as caught:
        job_environment(experiment(override), {}, credentials_file=None)
    assert caught.value.where == where
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["tracking.uri=sqlite:////srv/mlflow.db", "runtime.storage_path=s3://b/x?region=eu"],
)
def test_places_of_the_cluster_are_taken(override):
    assert job_environment(experiment(override), {}, credentials_file=None)


@pytest.mark.parametrize("uri", ["http://me:hunter2@mlflow", "sqlite:////home/me/mlflow.db"])
def test_an_own_store_that_cannot_be_sent_is_refused(uri):
    with pytest.raises(ConfigError) as caught:
        job_environment(experiment(), {"MLFLOW_TRACKING_URI": uri}, credentials_file=None)
    assert caught.value.where == "MLFLOW_TRACKING_URI"
    assert "hunter2" not in str(caught.value)


def test_a_credentials_file_is_a_path_of_the_cluster():
    with pytest.raises(ConfigError, match="absolute path"):
        job_environment(experiment(), {}, credentials_file="mlflow.ini")


def test_packages_that_are_installed_for_the_job_may_be_missing(cluster, monkeypatch):
    ours = job_versions.here()
    packages = {name: v for name, v in ours.packages.items() if name not in {"torch", "mlflow"}}
    bare = Versions(ours.python, packages)
    job_versions.check(bare, address="", with_packages=False)
    monkeypatch.setattr(job_versions, "ask", lambda client: bare)
    with pytest.raises(ConfigError, match="torch is missing") as caught:
        sent(cluster)
    assert "--runtime-env pip" in caught.value.remedy
    assert cluster.sent == {}
    _, runtime_env, _ = cluster.orders[sent(cluster, runtime_env="pip")]
    names = {pin.partition("==")[0] for pin in runtime_env["pip"]}
    assert {"torch", "mlflow", "optuna", "pandas"} <= names
    assert "ray" not in names
    assert not any("+" in pin for pin in runtime_env["pip"])
