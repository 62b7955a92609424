"""Following a job's log to its end, over connections that break."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs.client import SILENCE_S, Job, UnreachableError

# A dead connection looks like a job that prints nothing.
RENEW_AFTER_S = 60.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0
GIVE_UP_AFTER_S = 3600.0


class JobSource(Protocol):
    """Where a job's state and log come from."""

    def job(self, submission_id: str) -> Job:
        """The current state of a job."""

    def log(self, submission_id: str) -> str:
        """What it has printed so far."""

    def tail(self, submission_id: str) -> Iterator[str]:
        """What it prints, from the start; empty pieces while it is silent."""


def follow(
    source: JobSource,
    submission_id: str,
    *,
    write: Callable[[str], None],
    note: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Job:
    """Passes on what a job prints until its state is final, each character once.

    Args:
        source: the cluster.
        submission_id: which job.
        write: gets the log, in pieces.
        note: gets a sentence when the connection is lost, and when it is back.
        pause: sleeps for so many seconds.

    Returns:
        The job in its final state.

    Raises:
        JobError: the cluster has not answered for an hour, or has forgotten the job.
        ConfigError: it refuses the token.
    """
    reader = _Reader(source, submission_id, write, note)
    outage_s = 0.0
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            for _ in reader.listen():
                if outage_s:
                    note("connected again")
                outage_s, pause_s = 0.0, FIRST_PAUSE_S
            job = source.job(submission_id)
            if job.is_final:
                reader.finish(note)
                return job
        except UnreachableError as error:
            if outage_s >= GIVE_UP_AFTER_S:
                raise
            if not outage_s:
                note(f"connection lost ({error.message}); retrying; the job keeps running")
            outage_s += pause_s
        except ConfigError as error:
            if not reader.has_begun:
                raise
            raise JobError(error.message, where=error.where, remedy=error.remedy) from None
        pause(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s) if outage_s else FIRST_PAUSE_S


class _Reader:
    """Passes a log on once, though each connection starts at its first character."""

    def __init__(
        self,
        source: JobSource,
        submission_id: str,
        write: Callable[[str], None],
        note: Callable[[str], None],
    ):
        self._source = source
        self._note = note
        self._waited_s, self._told_s = 0.0, 0.0
        self._submission_id = submission_id
        self._write = write
        self._written = 0

    @property
    def has_begun(self) -> bool:
        return self._written > 0

    def listen(self) -> Iterator[None]:
        """One connection: yields at each sign of life, until it or the job has ended."""
        position = 0
        silence_s = 0.0
        for piece in self._source.tail(self._submission_id):
            if piece:
                silence_s = 0.0
                position = self._pass_on(piece, position)
            else:
                silence_s += SILENCE_S
                job = self._source.job(self._submission_id)
                self._tell_wait(job)
                if job.is_final or silence_s >= RENEW_AFTER_S:
                    return
            yield

    def _tell_wait(self, job: Job) -> None:
        """Says why a job has not started: at first, and then at growing intervals."""
        if job.status != "PENDING":
            return
        self._waited_s += SILENCE_S
        if self._waited_s >= 2 * self._told_s:
            self._told_s = self._waited_s
            self._note(
                f"the job has not started after {self._waited_s:.0f} s: the cluster installs its "
                "packages, or has no room for it yet"
            )

    def finish(self, note: Callable[[str], None]) -> None:
        """Passes on the rest of an ended job's log; a connection may have ended before it."""
        try:
            self._pass_on(self._source.log(self._submission_id), 0)
        except UnreachableError as error:
            note(f"the end of the log is lost ({error.message})")

    def _pass_on(self, piece: str, position: int) -> int:
        fresh = piece[max(0, self._written - position) :]
        if fresh:
            self._write(fresh)
            self._written = position + len(piece)
        return position + len(piece)


def wait_for_end(source: JobSource, submission_id: str, *, timeout_s: float = 300.0) -> Job:
    """Waits until a job has ended, at most ``timeout_s``; returns its state then."""
    deadline = time.monotonic() + timeout_s
    while not (job := source.job(submission_id)).is_final and time.monotonic() < deadline:
        time.sleep(0.3)
    return job
