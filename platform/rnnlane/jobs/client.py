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

from rnnlane.errors import ConfigError, JobError

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
# How long a log may say nothing before its reader is given a chance to look at the job.
SILENCE_S = 5.0

_FINAL = {"SUCCEEDED", "FAILED", "STOPPED"}
_STATUS_CODE = re.compile(r"status code (\d{3})")
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


class UnreachableError(JobError):
    """The cluster does not answer; it may later."""


@dataclass(frozen=True)
class Job:
    """One submission, as the cluster tells of it.

    Attributes:
        submission_id: names it.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        message: what Ray says of the status.
        exit_code: of the job's command; None where it did not end by itself.
        started_at: seconds since the epoch, when it was sent.
        ended_at: likewise; None while it runs.
        metadata: what `rnnlane submit` noted; empty for jobs of others.
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
        """Whether its status cannot change any more."""
        return self.status in _FINAL

    @property
    def experiment(self) -> str:
        """Name of the experiment; empty for jobs of others."""
        return self.metadata.get("rnnlane.experiment", "")

    @property
    def process_exit_code(self) -> int:
        """What a command that waited for the job exits with: 0, the job's own, 130 if stopped."""
        if self.status == "STOPPED":
            return 130
        return 0 if self.status == "SUCCEEDED" else self.exit_code or 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return {**asdict(self), "experiment": self.experiment}


def resolve_address(given: str | None, *, option: str = "--address") -> str:
    """The address of a cluster's dashboard: ``given``, else RAY_ADDRESS where that is http(s).

    ``option`` is where it is given, for the error.

    Raises:
        ConfigError: neither names one, or it holds credentials.
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
            "a cluster's address may not hold credentials",
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

    Every method raises UnreachableError where the cluster does not answer, and ConfigError where
    it refuses the token or does not know the job.

    Attributes:
        address: of the cluster's dashboard.
    """

    def __init__(self, address: str):
        self.address = address
        with self._answers():
            self._client = _connect(address)

    def jobs(self) -> list[Job]:
        """All submitted jobs that the cluster remembers, newest first."""
        with self._answers():
            found = self._client.list_jobs()
        jobs = [_job(details) for details in found if details.submission_id]
        return sorted(jobs, key=lambda job: job.started_at or 0.0, reverse=True)

    def job(self, submission_id: str) -> Job:
        """One job as it stands."""
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
        """Asks a job to end; it is told so by SIGTERM."""
        with self._answers(submission_id):
            self._client.stop_job(submission_id)

    def forget(self, submission_id: str) -> None:
        """Removes an ended job from the cluster's list."""
        with self._answers(submission_id):
            self._client.delete_job(submission_id)

    def log(self, submission_id: str) -> str:
        """What a job has printed by now."""
        with self._answers(submission_id):
            return str(self._client.get_job_logs(submission_id))

    def tail(self, submission_id: str) -> Iterator[str]:
        """What a job prints, from its start, in pieces; an empty one after each SILENCE_S.

        Ends when the job does, and now and then before (ray#57002, ray#60665).
        """
        with self._answers(submission_id):
            yield from _pieces(self._client.tail_job_logs(submission_id))

    @contextlib.contextmanager
    def _answers(self, submission_id: str | None = None) -> Iterator[None]:
        """Turns what Ray's client raises into errors that a person can read."""
        import aiohttp
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise _not_let_in(self.address, error) from None
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(self.address, error, error.status, submission_id) from None
        except (OSError, requests.RequestException, aiohttp.ClientError) as error:
            raise UnreachableError(
                f"the cluster does not answer: {_reason(error)}",
                where=self.address,
                remedy="check the address, and that the cluster's dashboard runs",
            ) from None
        except RuntimeError as error:
            found = _STATUS_CODE.search(str(error))
            status = int(found.group(1)) if found else 0
            raise _refused(self.address, error, status, submission_id) from None


def _connect(address: str) -> Any:
    """A client of Ray Jobs that gives up on a dead connection and goes to no other address."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        """Ray's own waits for ever where packets are lost."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            limits = (CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S)
            return super()._do_request(method, endpoint, **{"timeout": limits, **options})

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.dashboard.modules").setLevel(logging.ERROR)
    for name in ("sdk", "dashboard_sdk"):
        logging.getLogger(f"ray.dashboard.modules.job.{name}").setLevel(logging.ERROR)
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
    with _without(_ADDRESS_VARIABLES):
        return Client(address)


@contextlib.contextmanager
def _without(variables: tuple[str, ...]) -> Iterator[None]:
    """Hides environment variables: Ray's client prefers them to the address it is given."""
    hidden = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _pieces(stream: AsyncIterator[str]) -> Iterator[str]:
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


def _not_let_in(address: str, error: Exception) -> ConfigError:
    wrong = "failed" in str(error) or "nvalid" in str(error).partition("\n")[0]
    return ConfigError(
        f"the cluster asks for its token, but got {'a wrong one' if wrong else 'none'}",
        where=address,
        remedy="set RAY_AUTH_MODE=token, and name a file that holds the cluster's token by "
        "RAY_AUTH_TOKEN_PATH (default ~/.ray/auth_token)",
    )


def _refused(
    address: str, error: Exception, status: int, submission_id: str | None
) -> JobError | ConfigError:
    """A request that reached a server, and was not granted."""
    if status in {401, 403}:
        return _not_let_in(address, error)
    if status == 404 and submission_id is not None:
        return ConfigError(
            f"the cluster knows no job {submission_id!r}",
            where=address,
            remedy="`rnnlane jobs list` shows those that it knows; a cluster that was started "
            "anew has forgotten all",
        )
    if status >= 500 or "WebSocket" in str(error):
        return UnreachableError(f"the cluster cannot answer: {_reason(error)}", where=address)
    return JobError(f"the cluster refuses: {_reason(error)}", where=address)


def _reason(error: BaseException) -> str:
    """The gist: a server's tracebacks end with it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    innermost = re.search(r"\[Errno -?\d+\] ([^'\")]+)", lines[-1])
    text = innermost.group(1) if innermost else lines[-1]
    return text if len(text) <= 300 else f"{text[:297]}..."
