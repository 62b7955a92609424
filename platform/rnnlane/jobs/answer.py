"""Asking a cluster something by a job of a few seconds that prints one line and is forgotten."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs.client import JobClient

TIMEOUT_S = 180.0
_POLL_S = 0.3
# Ray looks after a job once a second, and notes one that is forgotten before as a failed one.
_FORGET_AFTER_S = 2.0


def ask_cluster(
    client: JobClient, *, entrypoint: str, mark: str, runtime_env: Mapping[str, Any] | None = None
) -> Any:
    """What a job printed as JSON behind ``mark``, at the start of a line.

    Raises:
        JobError: the cluster starts no job in time.
        ConfigError: the job ends without an answer; with its last words.
    """
    job_id = f"rnnlane-probe-{secrets.token_hex(4)}"
    client.submit(
        job_id,
        entrypoint=entrypoint,
        runtime_env=runtime_env or {},
        metadata={"rnnlane.verb": "probe"},
    )
    deadline = time.monotonic() + TIMEOUT_S
    while not (job := client.job(job_id)).is_final:
        if time.monotonic() > deadline:
            client.stop(job_id)
            raise JobError(
                f"a cluster must answer within {TIMEOUT_S:g} s, but the job {job_id} is still "
                f"{job.status}: {job.message}",
                where=client.address,
                remedy="look at the cluster's own logs",
            )
        time.sleep(_POLL_S)
    log = client.log(job_id)
    time.sleep(_FORGET_AFTER_S)
    client.forget(job_id)
    for line in log.splitlines():
        if line.startswith(mark):
            return json.loads(line.removeprefix(mark))
    last = (log.strip().splitlines() or job.message.strip().splitlines() or [job.status])[-1]
    raise ConfigError(
        f"a job's `python` must run there, but: {last}",
        where=client.address,
        remedy="start the cluster with its Python environment first on PATH",
    )
