"""Queries to a cluster: a job of a few seconds prints the answer and is then removed."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs.client import JobClient
from rnnlane.jobs.log import wait_for_end

TIMEOUT_S = 180.0
# Ray polls a job once a second; one that is removed before the next poll counts as failed.
_FORGET_AFTER_S = 2.0


def ask_cluster(
    client: JobClient, *, entrypoint: str, mark: str, runtime_env: Mapping[str, Any] | None = None
) -> Any:
    """Runs a job and returns the JSON that it prints on a line behind ``mark``.

    Raises:
        JobError: the job does not end in time.
        ConfigError: it ends without an answer; with the last line of its log.
    """
    job_id = f"rnnlane-probe-{secrets.token_hex(4)}"
    client.submit(
        job_id,
        entrypoint=entrypoint,
        runtime_env=runtime_env or {},
        metadata={"rnnlane.verb": "probe"},
    )
    job = wait_for_end(client, job_id, timeout_s=TIMEOUT_S)
    if not job.is_final:
        client.stop(job_id)
        raise JobError(
            f"a cluster must answer within {TIMEOUT_S:g} s, but the job {job_id} is still "
            f"{job.status}: {job.message}",
            where=client.address,
            remedy="look at the cluster's own logs",
        )
    log = client.log(job_id)
    time.sleep(_FORGET_AFTER_S)
    client.forget(job_id)
    for line in log.splitlines():
        if line.startswith(mark):
            return json.loads(line.removeprefix(mark))
    last = (log.strip() or job.message.strip() or job.status).splitlines()[-1]
    raise ConfigError(
        f"a job's `python` must run on the cluster, but: {last}",
        where=client.address,
        remedy="start the cluster with its Python environment first on PATH",
    )
