import json

import pytest
import typer

from rnnlane.cli import job_watch
from rnnlane.cli.job_watch import next_commands
from rnnlane.jobs.client import Job, UnreachableError


class Client:
    """A job that has printed one line; its log may be lost."""

    def __init__(self, job, *, log="hello\n"):
        self._job = job
        self._log = log

    def job(self, submission_id):
        return self._job

    def log(self, submission_id):
        if self._log is None:
            raise UnreachableError("the node is gone")
        return self._log


def watched(monkeypatch, job, *, interrupted=False, as_json=False):
    def follow(client, submission_id, *, write, note):
        write("hello\n")
        if interrupted:
            raise KeyboardInterrupt
        return job

    monkeypatch.setattr("rnnlane.jobs.log.follow", follow)
    with pytest.raises(typer.Exit) as ended:
        job_watch.watch(Client(job), "x", hint="--address http://head", as_json=as_json)
    return ended.value.exit_code


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (Job("x", "SUCCEEDED", exit_code=0), 0),
        (Job("x", "FAILED", exit_code=2), 2),
        (Job("x", "FAILED"), 1),
        (Job("x", "STOPPED"), 130),
    ],
)
def test_it_exits_with_the_exit_code_of_the_job(job, code, monkeypatch, capsys):
    assert watched(monkeypatch, job) == code
    assert tuple(capsys.readouterr()) == ("hello\n", f"job x {job.status.lower()}\n")


def test_ctrl_c_leaves_the_job_running_and_names_the_commands(monkeypatch, capsys):
    assert watched(monkeypatch, Job("x", "RUNNING"), interrupted=True) == 130
    notes = capsys.readouterr().err
    assert "rnnlane jobs logs -f x --address http://head" in notes
    assert "rnnlane jobs stop x --address http://head" in notes


def test_with_json_the_log_goes_to_stderr(monkeypatch, capsys):
    watched(monkeypatch, Job("x", "SUCCEEDED", exit_code=0), as_json=True)
    printed, notes = capsys.readouterr()
    assert json.loads(printed)["status"] == "SUCCEEDED"
    assert notes.startswith("hello\n")


def test_a_job_whose_log_is_lost_has_no_run():
    summary = job_watch.job_summary(Client(None, log=None), Job("x", "FAILED"))
    assert (summary["submission_id"], summary["run_id"]) == ("x", None)


SUMMARY = {
    "run_id": "0123456789abcdef",
    "tracking_uri": "http://mlflow:5000",
    "run_url": "http://mlflow:5000/#/experiments/1/runs/0123456789abcdef",
    "metadata": {"rnnlane.verb": "train"},
}


def test_what_comes_next_works_from_here(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ask = dict(next_commands(SUMMARY))["ask"]
    assert ask == 'rnnlane predict --tracking-uri http://mlflow:5000 --run 01234567 "a text"'
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert dict(next_commands(SUMMARY))["ask"] == 'rnnlane predict --run 01234567 "a text"'
    search = {**SUMMARY, "metadata": {"rnnlane.verb": "tune"}}
    assert "--artifact-path best.yaml" in dict(next_commands(search))["get the winner"]
    file = {**SUMMARY, "tracking_uri": "sqlite:////x.db", "run_url": None}
    assert next_commands(file) == [
        ("run", "0123456789abcdef in sqlite:////x.db on the cluster's head")
    ]
    assert next_commands({**SUMMARY, "run_id": None}) == []
