"""Addresses of clusters, and what Ray's job client raises and returns, as rnnlane's own values."""

import asyncio
import time
from types import SimpleNamespace

import pytest
import requests
from ray.exceptions import AuthenticationError

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs import client as client_module
from rnnlane.jobs.client import Job, JobClient, UnreachableError, resolve_address

ADDRESS = "http://head:8265"


@pytest.mark.parametrize(
    "address",
    ["", "head:8265", "ray://head:10001", "auto", "http://", "http://me:hunter2@head:8265"],
)
def test_an_address_that_is_no_dashboard_is_refused(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(ConfigError) as caught:
        resolve_address(address)
    assert "hunter2" not in str(caught.value)


def test_the_address_is_the_one_given_else_the_environments(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "https://head:8265/")
    assert resolve_address(None) == "https://head:8265"
    assert resolve_address("http://other:1") == "http://other:1"


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", None, 1), ("STOPPED", None, 130)],
)
def test_a_command_that_waits_ends_as_the_job_did(status, exit_code, expected):
    assert Job("x", status, exit_code=exit_code).process_exit_code == expected


class RayClient:
    """Ray's job client; each call raises ``error``, or else returns what it was given."""

    def __init__(self, error=None, jobs=()):
        self.error = error
        self.listed = list(jobs)

    def _answer(self, value=None):
        if self.error is not None:
            raise self.error
        return value

    def list_jobs(self):
        return self._answer(self.listed)

    def get_job_info(self, submission_id):
        return self._answer(self.listed[0] if self.listed else None)

    async def tail_job_logs(self, submission_id):
        yield self._answer("line 1\n")
        yield "line 2\n"


@pytest.fixture
def connected(monkeypatch):
    """Makes a JobClient out of a RayClient."""

    def connect(ray_client):
        monkeypatch.setattr(client_module, "job_client", lambda *_, **__: ray_client)
        return JobClient(ADDRESS)

    return connect


def details(submission_id="a", **changes):
    values = {"status": "RUNNING", "message": None, "driver_exit_code": None, "metadata": None}
    times = {"start_time": 1_500, "end_time": None}
    return SimpleNamespace(submission_id=submission_id, **{**values, **times, **changes})


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (AuthenticationError("token is missing"), ConfigError, "but got none"),
        (AuthenticationError("Invalid token"), ConfigError, "but got a wrong one"),
        (
            RuntimeError("status code 403: no"),
            ConfigError,
            "requires its token",
        ),
        (RuntimeError("status code 404: x"), ConfigError, "has no job 'a'"),
        (RuntimeError("status code 500: x"), UnreachableError, "cannot answer"),
        (RuntimeError("status code 400: x"), JobError, "the cluster refuses"),
        (
            requests.ConnectionError("(x, '[Errno 111] Connection refused')"),
            UnreachableError,
            ": Con",
        ),
        (TimeoutError(), UnreachableError, "does not answer: TimeoutError"),
    ],
)
def test_errors_of_rays_client_become_errors_for_people(connected, error, kind, message):
    with pytest.raises(kind) as caught:
        connected(RayClient(error)).job("a")
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert caught.value.where == ADDRESS


def test_a_servers_traceback_is_cut_down_to_its_last_line(connected):
    error = RuntimeError("status code 500\nTraceback:\n  File x\nValueError: " + "x" * 400)
    with pytest.raises(UnreachableError) as caught:
        connected(RayClient(error)).jobs()
    assert "Traceback" not in caught.value.message
    assert caught.value.message.endswith("x...")
    assert len(caught.value.message) < 400


def test_jobs_are_plain_values_newest_first(connected):
    ended = details("b", status="FAILED", start_time=3_000, end_time=4_500, driver_exit_code=2)
    found = connected(RayClient(jobs=[details(), details(None), ended])).jobs()
    assert [job.submission_id for job in found] == ["b", "a"]
    assert found[0] == Job("b", "FAILED", exit_code=2, started_at=3.0, ended_at=4.5)
    assert (found[1].started_at, found[1].ended_at, found[1].is_final) == (1.5, None, False)


def test_experiments_are_named_by_the_metadata_of_submit():
    job = Job("a", "RUNNING", metadata={"rnnlane.experiment": "demo"})
    assert job.as_dict()["experiment"] == "demo"
    assert Job("a", "RUNNING").experiment == ""


def test_a_log_comes_in_pieces(connected):
    assert list(connected(RayClient()).tail("a")) == ["line 1\n", "line 2\n"]


def test_a_silent_log_gives_empty_pieces_and_loses_nothing(connected, monkeypatch):
    class Slow(RayClient):
        async def tail_job_logs(self, submission_id):
            await asyncio.sleep(0.25)
            yield "late\n"

    monkeypatch.setattr(client_module, "SILENCE_S", 0.1)
    pieces = list(connected(Slow()).tail("a"))
    assert pieces[0] == ""
    assert "".join(pieces) == "late\n"


def test_a_log_that_is_no_longer_read_is_closed(connected):
    started = time.monotonic()
    pieces = connected(RayClient()).tail("a")
    assert next(pieces) == "line 1\n"
    pieces.close()
    assert time.monotonic() - started < 5
