import json

import pytest

from rnnlane.jobs.client import Job

RUN_ID = "0123456789abcdef0123456789abcdef"
PAGE = f"http://mlflow/#/experiments/1/runs/{RUN_ID}"
NOTED = {"rnnlane.experiment": "x", "rnnlane.user": "ana"}
JOBS = {
    "one": Job("one", "RUNNING", started_at=0.0, metadata=NOTED),
    "two": Job("two", "FAILED", "out of memory", started_at=0.0, ended_at=9.0, metadata=NOTED),
    "other": Job("other", "RUNNING"),
}


class Cluster:
    """Stands in for a client: three jobs, one of them not of rnnlane."""

    def __init__(self, address):
        self.address = address

    def jobs(self):
        return list(JOBS.values())

    def job(self, submission_id):
        return JOBS[submission_id]

    def log(self, submission_id):
        return f"run {RUN_ID} at {PAGE}\n"


@pytest.fixture(autouse=True)
def cluster(monkeypatch):
    monkeypatch.setattr("rnnlane.jobs.client.JobClient", Cluster)
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")


def test_the_list_has_jobs_of_rnnlane_only(call):
    found = json.loads(call("jobs", "list", "--json").stdout)["jobs"]
    assert [job["submission_id"] for job in found] == ["one", "two"]
    assert found[0]["run_url"] == PAGE
    assert found[0]["tracking_uri"] == "http://mlflow"
    assert len(json.loads(call("jobs", "list", "-n", "1", "--json").stdout)["jobs"]) == 1
    assert "ana" in call("jobs", "list").stdout


def test_the_status_says_why_a_job_failed(call):
    assert "out of memory" in call("jobs", "status", "two").stdout
    assert "reason" not in call("jobs", "status", "one").stdout


def test_the_log_is_printed_as_it_is(call):
    assert call("jobs", "logs", "one").stdout == f"run {RUN_ID} at {PAGE}\n"
    found = json.loads(call("jobs", "logs", "one", "--json").stdout)
    assert (found["run_id"], found["log"]) == (RUN_ID, f"run {RUN_ID} at {PAGE}\n")
