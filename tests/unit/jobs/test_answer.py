"""A question to a cluster: the job's answer, or why there is none."""

import pytest

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs import answer, log
from rnnlane.jobs.client import Job


class Cluster:
    """Runs any job through these states, the last of which stays; its log is ``text``."""

    address = "http://head:8265"

    def __init__(self, *states, text="", message=""):
        self._states = list(states)
        self._text = text
        self._message = message
        self.calls = []

    def submit(self, submission_id, *, entrypoint, runtime_env, metadata):
        self.calls.append(("submit", entrypoint, runtime_env))

    def job(self, submission_id):
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return Job(submission_id, state, self._message)

    def log(self, submission_id):
        return self._text

    def stop(self, submission_id):
        self.calls.append("stop")

    def forget(self, submission_id):
        self.calls.append("forget")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(answer, "_FORGET_AFTER_S", 0)
    monkeypatch.setattr(log.time, "sleep", lambda _seconds: None)


def ask(cluster):
    return answer.ask_cluster(cluster, entrypoint="python x.py", mark="answer: ")


def test_the_answer_is_the_json_behind_the_mark():
    text = 'a warning\nno answer: 1\nanswer: {"cpus": 4}\nmore\n'
    cluster = Cluster("PENDING", "RUNNING", "SUCCEEDED", text=text)
    assert ask(cluster) == {"cpus": 4}
    assert cluster.calls == [("submit", "python x.py", {}), "forget"]


@pytest.mark.parametrize(
    ("text", "message", "last"),
    [
        ("Traceback\nsh: python: not found\n", "exit code 127", "sh: python: not found"),
        ("", "cannot start\nno space left", "no space left"),
        ("\n", "", "FAILED"),
    ],
)
def test_a_job_without_an_answer_is_reported_by_its_last_line(text, message, last):
    with pytest.raises(ConfigError) as caught:
        ask(Cluster("FAILED", text=text, message=message))
    assert caught.value.message.endswith(f"but: {last}")


def test_a_job_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(answer, "TIMEOUT_S", 0.05)
    cluster = Cluster("PENDING", message="no room")
    with pytest.raises(JobError, match="is still PENDING: no room"):
        ask(cluster)
    assert cluster.calls[-1] == "stop"
