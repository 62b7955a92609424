"""A cluster's Ray Jobs, with answers as plain values and failures as rnnlane's errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rnnlane.errors import ConfigError, JobError, last_line
from rnnlane.ray_cluster.address import token_error
from rnnlane.ray_cluster.internals import job_client

CONNECT_TIMEOUT_S = 5.0
# Of the first request, so that a dashboard that takes connections but is mute is told soon.
FIRST_ANSWER_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
# After this long without output, tail() yields an empty piece: its caller can check the job.
SILENCE_S = 5.0

_FINAL = {"SUCCEEDED", "FAILED", "STOPPED"}
_STATUS_CODE = re.compile(r"status code (\d{3})")


class UnreachableError(JobError):
    """The cluster does not answer; it may later."""


@dataclass(frozen=True)
class Job:
    """One submission, as the cluster reports it.

    Attributes:
        submission_id: its name on the cluster.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        message: Ray's explanation of the status.
        exit_code: of the job's command; None if it did not end by itself.
        started_at: when it was sent, in seconds since 1970.
        ended_at: when it ended, likewise; None while it runs.
        metadata: what `rnnlane submit` noted; empty for other jobs.
    """

    submission_id: str
    status: str
    message: str = ""
    exit_code: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether its status can no longer change."""
        return self.status in _FINAL

    @property
    def experiment(self) -> str:
        """Name of the experiment; empty for other jobs."""
        return self.metadata.get("rnnlane.experiment", "")

    @property
    def process_exit_code(self) -> int:
        """Exit code of a command that waited for the job: 0, the job's own, or 130 if stopped."""
        if self.status == "STOPPED":
            return 130
        return 0 if self.status == "SUCCEEDED" else self.exit_code or 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {**asdict(self), "experiment": self.experiment}


def resolve_address(given: str | None, *, option: str = "--address") -> str:
    """The address of a cluster's dashboard: ``given``, else RAY_ADDRESS if that is http(s).

    ``option`` is the option that gives it, for the error.

    Raises:
        ConfigError: neither is such an address, or it contains credentials.
    """
    address = given or os.environ.get("RAY_ADDRESS") or ""
    where = option if given or not address else "RAY_ADDRESS"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, valid = urlsplit(""), False
    if "@" in address:
        raise ConfigError(
            "a cluster's address may not contain credentials",
            where=where,
            remedy="give a token by RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH",
        )
    if not valid:
        raise ConfigError(
            "jobs go to the address of a cluster's dashboard, http://HOST:8265, but got "
            f"{address or 'none'!r}",
            where=where,
            remedy=f"give {option} http://HOST:8265, or set RAY_ADDRESS to it",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


class JobClient:
    """The jobs of one cluster.

    Every method raises UnreachableError if the cluster does not answer, and ConfigError if it
    refuses the token or does not know the job.

    Attributes:
        address: of the cluster's dashboard.
    """

    def __init__(self, address: str):
        self.address = address
        with self._answers():
            _silence_ray()
            self._client = job_client(
                address,
                connect_timeout_s=CONNECT_TIMEOUT_S,
                first_answer_timeout_s=FIRST_ANSWER_TIMEOUT_S,
                answer_timeout_s=ANSWER_TIMEOUT_S,
            )

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster remembers, newest first."""
        with self._answers():
            listed = self._client.list_jobs()
        jobs = [_job(details) for details in listed if details.submission_id]
        return sorted(jobs, key=lambda job: job.started_at or 0.0, reverse=True)

    def job(self, submission_id: str) -> Job:
        """The current state of a job."""
        with self._answers(submission_id):
            return _job(self._client.get_job_info(submission_id))

    def submit(
        self,
        submission_id: str,
        *,
        entrypoint: str,
        runtime_env: Mapping[str, Any],
        metadata: Mapping[str, str],
    ) -> None:
        """Sends a job; its working directory is uploaded first.

        Raises:
            JobError: the id is taken, or the cluster refuses the job.
        """
        with self._answers(submission_id):
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=submission_id,
                runtime_env=dict(runtime_env),
                metadata=dict(metadata),
            )

    def stop(self, submission_id: str) -> None:
        """Stops a job: Ray sends it SIGTERM, and SIGKILL if it does not end in time."""
        with self._answers(submission_id):
            self._client.stop_job(submission_id)

    def forget(self, submission_id: str) -> None:
        """Removes an ended job from the cluster's list."""
        with self._answers(submission_id):
            self._client.delete_job(submission_id)

    def log(self, submission_id: str) -> str:
        """What a job has printed so far."""
        with self._answers(submission_id):
            return str(self._client.get_job_logs(submission_id))

    def tail(self, submission_id: str) -> Iterator[str]:
        """What a job prints, from its start, in pieces; an empty one after each SILENCE_S.

        Ends when the job does, but sometimes earlier (ray#57002, ray#60665).
        """
        with self._answers(submission_id):
            yield from _pieces(self._client.tail_job_logs(submission_id))

    @contextlib.contextmanager
    def _answers(self, submission_id: str | None = None) -> Iterator[None]:
        """Translates what Ray's client raises into errors for people."""
        import aiohttp
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise _token_error(self.address, error) from None
        except aiohttp.WSServerHandshakeError as error:
            raise _request_error(self.address, error, error.status, submission_id) from None
        except (OSError, requests.RequestException, aiohttp.ClientError) as error:
            raise UnreachableError(
                f"the cluster does not answer: {reason(error)}",
                where=self.address,
                remedy="check the address, and that the cluster's dashboard runs",
            ) from None
        except RuntimeError as error:
            match = _STATUS_CODE.search(str(error))
            status = int(match.group(1)) if match else 0
            raise _request_error(self.address, error, status, submission_id) from None


def _silence_ray() -> None:
    for name in ("ray", "ray.dashboard.modules"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("sdk", "dashboard_sdk"):
        logging.getLogger(f"ray.dashboard.modules.job.{name}").setLevel(logging.ERROR)
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)


def _pieces(stream: AsyncIterator[str]) -> Iterator[str]:
    """The items of a stream, with an empty one after each SILENCE_S without any."""
    loop = asyncio.new_event_loop()
    waiting: asyncio.Future[str] | None = None
    try:
        while True:
            # Not wait_for(), which would end the stream when it times out.
            waiting = waiting or asyncio.ensure_future(anext(stream), loop=loop)
            loop.run_until_complete(asyncio.wait({waiting}, timeout=SILENCE_S))
            if not waiting.done():
                yield ""
                continue
            try:
                piece = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield piece
    finally:
        if waiting is not None:
            waiting.cancel()
            loop.run_until_complete(asyncio.wait({waiting}, timeout=SILENCE_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _job(details: Any) -> Job:
    def seconds(milliseconds: int | None) -> float | None:
        return milliseconds / 1000 if milliseconds else None

    return Job(
        submission_id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        started_at=seconds(details.start_time),
        ended_at=seconds(details.end_time),
        metadata=dict(details.metadata or {}),
    )


def _token_error(address: str, error: Exception) -> ConfigError:
    wrong = "failed" in str(error) or "nvalid" in str(error).partition("\n")[0]
    return token_error(address, got="a wrong one" if wrong else "none")


def _request_error(
    address: str, error: Exception, status: int, submission_id: str | None
) -> JobError | ConfigError:
    """The error for a request that a server answered with an error."""
    if status in {401, 403}:
        return _token_error(address, error)
    if status == 404 and submission_id is not None:
        return ConfigError(
            f"the cluster has no job {submission_id!r}",
            where=address,
            remedy="`rnnlane jobs list` shows its jobs; a cluster that restarts loses all of them",
        )
    if status >= 500 or "WebSocket" in str(error):
        return UnreachableError(f"the cluster cannot answer: {reason(error)}", where=address)
    return JobError(f"the cluster refuses: {reason(error)}", where=address)


def reason(error: BaseException) -> str:
    """The last line of a message, since a server may send a traceback; or its OS error."""
    line = last_line(error)
    system_error = re.search(r"\[Errno -?\d+\] ([^'\")]+)", line)
    text = system_error.group(1) if system_error else line
    return text if len(text) <= 300 else f"{text[:297]}..."
