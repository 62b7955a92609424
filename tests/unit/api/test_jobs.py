import asyncio
import signal

import pytest

import rnnlane
from rnnlane.errors import JobError
from rnnlane.jobs.client import Job, _pieces
from support.tiny import tiny_experiment

RUN = f"run {'a' * 32} in http://store\n"


class Cluster:
    """Stands in for a cluster's client; its log comes over an event loop, as Ray's does."""

    def __init__(self, address="http://head:8265", *, error=None, ends=True):
        self.address = address
        self.stopped = []
        self._error = error
        self._ends = ends

    def job(self, submission_id):
        return Job(submission_id, "SUCCEEDED" if self._ends else "RUNNING")

    def log(self, submission_id):
        return f"epoch 1\n{RUN}"

    def tail(self, submission_id):
        if self._error is not None:
            raise self._error

        async def pieces():
            yield "epoch 1\n"
            while not self._ends:
                await asyncio.sleep(0.01)
                yield "\x1b"
            yield RUN

        return _pieces(pieces())

    def stop(self, submission_id):
        self.stopped.append(submission_id)


def test_an_experiment_is_sent_with_what_was_asked(monkeypatch):
    sent = []

    def submit(config, client, options, *, note):
        sent.append((config.name, client.address, options.again, options.runtime_env))
        note("the job is already running")
        return Job("tiny-1", "PENDING")

    monkeypatch.setattr("rnnlane.jobs.client.JobClient", Cluster)
    monkeypatch.setattr("rnnlane.jobs.submission.submit", submit)
    address = "http://head:8265"
    job = rnnlane.submit(tiny_experiment(), address=address, again=True, runtime_env="pip")
    assert sent == [("tiny", address, True, "pip")]
    assert repr(job) == f"SubmittedJob('tiny-1' on {address})"
    assert "SUCCEEDED" in job._repr_html_()


def test_a_job_is_followed_also_where_an_event_loop_runs_already():
    """As in the kernel of a notebook."""
    job = rnnlane.SubmittedJob(Cluster(), "tiny-1")
    written = []

    async def cell():
        return job.wait(write=written.append)

    assert asyncio.run(cell()) == job.status == "SUCCEEDED"
    assert "".join(written) == job.log()
    assert job.run is not None
    assert job.run.run_id == "a" * 32


def test_an_interrupt_ends_the_waiting_and_not_the_job(capsys):
    cluster = Cluster(ends=False)
    job = rnnlane.SubmittedJob(cluster, "tiny-1")
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            job.wait()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert cluster.stopped == []
    assert capsys.readouterr().out.startswith("epoch 1\n\\x1b")
    job.stop()
    assert cluster.stopped == ["tiny-1"]


def test_what_goes_wrong_while_waiting_is_raised():
    job = rnnlane.SubmittedJob(Cluster(error=JobError("forgotten")), "tiny-1")
    with pytest.raises(JobError, match="forgotten"):
        job.wait()
