"""One experiment -> one job on a cluster, sent once however often it is asked for."""

from __future__ import annotations

import getpass
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import config_fingerprint, search_fingerprint
from rnnlane.errors import ConfigError, JobError, redact
from rnnlane.execution.environment import git_state
from rnnlane.jobs import versions as job_versions
from rnnlane.jobs.client import Job, JobClient
from rnnlane.jobs.package import EXPERIMENT_FILE, digest, files_for, write_package
from rnnlane.tracking.credentials import FILE_VARIABLE
from rnnlane.tracking.uris import resolve_uri, sqlite_file

# Ray gives a stopped job 3 s. MLflow is to hear of the end first, for which the driver waits up to
# tracking.flush_timeout_s.
STOP_MARGIN_S = 30


@dataclass(frozen=True)
class Order:
    """How an experiment is to be sent.

    Attributes:
        again: run it anew, whatever became of earlier jobs.
        runtime_env: ``pip``: the packages go along; ``cluster``: the cluster has them.
        credentials_file: path on the cluster of the MLflow server's account.
    """

    again: bool = False
    runtime_env: Literal["cluster", "pip"] = "cluster"
    credentials_file: str | None = None


def submit(
    config: ExperimentConfig, client: JobClient, order: Order, *, note: Callable[[str], None]
) -> Job:
    """Sends an experiment as a job, or finds the job that it was sent as.

    A job that is under way is found, and one that succeeded with the very same content; after any
    other, the next attempt goes on with the run of the one before. Nothing is sent where the
    cluster's versions do not fit.

    Raises:
        ConfigError: the experiment cannot run on a cluster as it is, or not on this one.
        JobError: the cluster refuses it.
    """
    environment = job_environment(config, os.environ, credentials_file=order.credentials_file)
    files = files_for(config)
    content = digest(config, files)
    identity = job_identity(config)
    earlier = [job for job in client.jobs() if job.metadata.get("rnnlane.job") == identity]
    found = None if order.again else _found(earlier, content)
    if found is not None:
        note(f"found the job, {found.status.lower()} already; --again runs it anew")
        return found
    _check_versions(client, order, note)
    submission_id = f"{identity}-{1 + max((_attempt(job) for job in earlier), default=0)}"
    facts = {"rnnlane.submission_id": submission_id, "rnnlane.user": _user(), **git_state()}
    runtime_env: dict[str, Any] = {"env_vars": environment}
    if order.runtime_env == "pip":
        runtime_env["pip"] = job_versions.pins()
    with tempfile.TemporaryDirectory() as scratch:
        write_package(Path(scratch), config, files, tags=facts)
        try:
            client.submit(
                submission_id,
                entrypoint=entrypoint(config, resume=not order.again),
                runtime_env={**runtime_env, "working_dir": scratch},
                metadata={**_metadata(config), "rnnlane.content": content, **facts},
            )
        except JobError as error:
            if "already exists" not in error.message:
                raise
            note("somebody else sent it at the same moment")
    return client.job(submission_id)


def _check_versions(client: JobClient, order: Order, note: Callable[[str], None]) -> None:
    theirs = job_versions.ask(client)
    with_packages = order.runtime_env == "cluster"
    job_versions.check(theirs, address=client.address, with_packages=with_packages)
    if other := job_versions.other_rnnlane(theirs):
        note(f"the cluster has rnnlane {other} installed; the job runs the source from here")


def _metadata(config: ExperimentConfig) -> dict[str, str]:
    """What `rnnlane jobs` goes by."""
    return {
        "rnnlane.job": job_identity(config),
        "rnnlane.experiment": config.name,
        "rnnlane.verb": _verb(config),
        "rnnlane.fingerprint": _fingerprint(config),
    }


def job_identity(config: ExperimentConfig) -> str:
    """What the ids of an experiment's jobs begin with; the attempt's number follows."""
    return f"rnnlane-{config.name}-{_fingerprint(config)[:8]}"


def entrypoint(config: ExperimentConfig, *, resume: bool) -> str:
    """The job's command.

    Its home is the head's own RNNLANE_HOME, else a folder of the user there; never the working
    directory, which is deleted after the job. ``exec``, so that a stopped job's signal reaches it.
    """
    home = 'RNNLANE_HOME="${RNNLANE_HOME:-$HOME/.rnnlane}"'
    command = f"exec env {home} python -m rnnlane {_verb(config)} {EXPERIMENT_FILE}"
    return f"{command} --resume" if resume else command


def job_environment(
    config: ExperimentConfig, environ: Mapping[str, str], *, credentials_file: str | None
) -> dict[str, str]:
    """The variables of a job's processes: where MLflow is, and by reference who we are there.

    Values that the cluster shows to all who may look at it; so nothing here may be secret.

    Raises:
        ConfigError: an address holds credentials, or a path means nothing on another machine.
    """
    refuse_secrets(config.model_dump(mode="json"))
    _refuse_temporary_places(config)
    stop_wait_s = math.ceil(config.tracking.flush_timeout_s) + STOP_MARGIN_S
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(stop_wait_s)}
    uri = environ.get("MLFLOW_TRACKING_URI")
    if uri and config.tracking.uri is None:
        variables["MLFLOW_TRACKING_URI"] = sendable_store(uri)
    return variables | account_variables(credentials_file)


def account_variables(credentials_file: str | None) -> dict[str, str]:
    """By which a job finds the account for MLflow: names a file there, and holds no secret.

    Raises:
        ConfigError: the file's path means nothing on another machine.
    """
    if credentials_file is None:
        return {}
    if not credentials_file.startswith(("/", "~/")):
        raise ConfigError(
            "a credentials file is named by its absolute path on the cluster, but got "
            f"{credentials_file!r}",
            where="--credentials-file",
            remedy="put the file on the head's machine and give its path there",
        )
    return {FILE_VARIABLE: credentials_file}


def sendable_store(uri: str) -> str:
    """An MLflow store that a job on another machine can use.

    Raises:
        ConfigError: it is a file here, or its address holds credentials.
    """
    resolve_uri(uri)
    refuse_secrets({"MLFLOW_TRACKING_URI": uri})
    if sqlite_file(uri) is not None:
        raise ConfigError(
            f"a job's MLflow store must be reachable from the cluster, but {uri!r} is a file here",
            where="MLFLOW_TRACKING_URI",
            remedy="name a server, or unset it to use the store that the cluster was started with",
        )
    return uri


def refuse_secrets(values: Mapping[str, Any], prefix: str = "") -> None:
    """Refuses addresses with credentials, however deep they stand in what is to be sent.

    Raises:
        ConfigError: names the first one by its dotted key.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{prefix}{key}.")
        elif isinstance(value, str) and "://" in value and redact(value) != value:
            raise ConfigError(
                f"what a job is sent may hold no credentials, but got {redact(value)!r}",
                where=f"{prefix}{key}",
                remedy="leave them out of the address; for MLflow give --credentials-file, for "
                "storage start the cluster with AWS_ACCESS_KEY_ID and the like",
            )


def _refuse_temporary_places(config: ExperimentConfig) -> None:
    """Relative paths of what a job writes would lie in its working directory."""
    storage, store = config.runtime.storage_path, config.tracking.uri
    file = store.partition("://")[2].partition("?")[0] if store else ""
    if storage is not None and "://" not in storage and not storage.startswith("/"):
        key, value = "runtime.storage_path", storage
    elif store and store.startswith("sqlite") and not file.startswith("//"):
        key, value = "tracking.uri", store
    else:
        return
    raise ConfigError(
        f"a job writes to absolute paths and URIs only, but got {value!r}",
        where=key,
        remedy="give a place that every node of the cluster reaches",
    )


def _found(earlier: list[Job], content: str) -> Job | None:
    """The newest attempt, if it makes another one needless."""
    if not earlier:
        return None
    newest = max(earlier, key=_attempt)
    same = newest.metadata.get("rnnlane.content") == content
    is_done = newest.status == "SUCCEEDED" and same
    return newest if is_done or not newest.is_final else None


def _attempt(job: Job) -> int:
    number = job.submission_id.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _verb(config: ExperimentConfig) -> str:
    return "train" if config.search is None else "tune"


def _fingerprint(config: ExperimentConfig) -> str:
    return config_fingerprint(config) if config.search is None else search_fingerprint(config)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
