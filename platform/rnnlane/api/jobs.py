"""Sending an experiment to a cluster from a script or a notebook."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.api.progress import shown
from rnnlane.api.verbs import Experiment, as_experiment
from rnnlane.records import html
from rnnlane.records.events import RunEvents
from rnnlane.records.plain_text import lines
from rnnlane.records.run_marker import RunMarker, find_marker

if TYPE_CHECKING:
    from rnnlane.jobs.client import Job, JobClient

_LOOK_S = 0.2


def submit(
    experiment: Experiment,
    *,
    address: str | None = None,
    again: bool = False,
    runtime_env: Literal["cluster", "pip"] = "cluster",
    credentials_file: str | None = None,
    events: RunEvents | None = None,
) -> SubmittedJob:
    """Trains the experiment, or tunes it if it has a search, as a job on a Ray cluster.

    Returns at once; :meth:`SubmittedJob.wait` follows the job. The same experiment, code and data
    submitted twice are one job.

    Args:
        experiment: an experiment, or the path of its file.
        address: of the cluster's dashboard, http://HOST:8265; default: ``RAY_ADDRESS``.
        again: run it again, whatever the state of its earlier jobs.
        runtime_env: ``cluster``: it has the packages; ``pip``: the job installs them.
        credentials_file: path on the cluster of the MLflow server's account.
        events: receives notes; default: they are shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: the experiment cannot run there, or the cluster does not answer or refuses.
    """
    from rnnlane.jobs.client import JobClient, resolve_address
    from rnnlane.jobs.submission import SubmitOptions
    from rnnlane.jobs.submission import submit as submit_experiment

    config = as_experiment(experiment)
    with shown(events) as running:
        client = JobClient(resolve_address(address))
        options = SubmitOptions(again, runtime_env, credentials_file)
        job = submit_experiment(config, client, options, note=running.note)
    return SubmittedJob(client, job.submission_id)


class SubmittedJob:
    """A job on a cluster.

    Every method raises a RnnlaneError if the cluster does not answer or has forgotten the job.

    Attributes:
        submission_id: its name on the cluster.
        address: of the cluster's dashboard.
    """

    def __init__(self, client: JobClient, submission_id: str):
        self.submission_id = submission_id
        self.address = client.address
        self._client = client

    @property
    def status(self) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED, as the cluster says now."""
        return self._client.job(self.submission_id).status

    @property
    def run(self) -> RunMarker | None:
        """The MLflow run that it has started, with its store; None before that."""
        return find_marker(self.log())

    def log(self) -> str:
        """What it has printed so far."""
        return self._client.log(self.submission_id)

    def stop(self) -> None:
        """Stops it; what it has trained stays, and the same submission continues."""
        self._client.stop(self.submission_id)

    def wait(self, *, write: Callable[[str], Any] | None = None) -> str:
        """Waits for its end and returns its status. Ctrl-C stops the waiting, not the job.

        Args:
            write: gets what the job prints, in pieces; default: it is written to stdout.
        """
        follower = _Follower(self._client, self.submission_id, write or _to_stdout)
        # A thread of its own, because a notebook's kernel already runs an event loop in this one.
        thread = threading.Thread(target=follower.run, name="follow", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_LOOK_S)
        finally:
            follower.is_wanted = False
        return follower.result().status

    def __repr__(self) -> str:
        return f"SubmittedJob({self.submission_id!r} on {self.address})"

    def _repr_html_(self) -> str:
        rows = [("job", self.submission_id), ("cluster", self.address), ("status", self.status)]
        return html.card("SubmittedJob", html.table(rows))


class _Detached(Exception):  # noqa: N818 - nothing has gone wrong
    """Nobody waits any more."""


class _Follower:
    """Passes on a job's log until the job ends."""

    def __init__(self, client: JobClient, submission_id: str, write: Callable[[str], Any]):
        self.is_wanted = True
        self._client = client
        self._submission_id = submission_id
        self._write = write
        self._job: Job | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        from rnnlane.jobs.log import follow

        try:
            self._job = follow(
                self._client, self._submission_id, write=self._pass_on, note=self._pass_on_line
            )
        except _Detached:
            pass
        except Exception as error:
            self._error = error

    def result(self) -> Job:
        if self._error is not None:
            raise self._error
        assert self._job is not None
        return self._job

    def _pass_on(self, text: str) -> None:
        if not self.is_wanted:
            raise _Detached
        self._write(text)

    def _pass_on_line(self, text: str) -> None:
        self._pass_on(f"{text}\n")


def _to_stdout(text: str) -> None:
    sys.stdout.write(lines(text))
    sys.stdout.flush()
