import json

import pytest

from rnnlane.jobs.client import Job


class Cluster:
    """Stands in for a client that knows one job."""

    def __init__(self, address):
        self.address = address

    def job(self, submission_id):
        return Job(submission_id, "RUNNING", metadata={"rnnlane.experiment": "x"})

    def log(self, submission_id):
        return ""


@pytest.fixture
def calls(monkeypatch, replaced):
    monkeypatch.setattr("rnnlane.jobs.client.JobClient", Cluster)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return replaced("rnnlane.jobs.submission.submit", Job("x-1", "PENDING"))


def test_detached_it_says_how_to_follow_the_job(call, calls, experiment):
    done = call("submit", experiment, "--address", "http://head:8265", "--detach")
    assert "job x-1 on http://head:8265" in done.stderr
    assert "rnnlane jobs logs -f x-1 --address http://head:8265" in done.stderr
    assert done.stdout == ""


def test_the_options_reach_the_submission(call, calls, experiment):
    options = ["--again", "--runtime-env", "pip", "--credentials-file", "/secrets/mlflow"]
    printed = call(
        "submit", experiment, "--address", "http://head:8265", "--detach", "--json", *options
    ).stdout
    assert json.loads(printed)["status"] == "RUNNING"
    config, client, order = calls[0][0]
    assert (config.name, client.address) == ("x", "http://head:8265")
    assert (order.again, order.runtime_env, order.credentials_file) == (
        True,
        "pip",
        "/secrets/mlflow",
    )
