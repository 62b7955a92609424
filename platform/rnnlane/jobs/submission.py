"""Sending an experiment to a cluster as a job; sent twice, it is still one job."""

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
from rnnlane.config.fingerprint import config_fingerprint, fingerprint, search_fingerprint
from rnnlane.config.paths import JOB_VARIABLE
from rnnlane.errors import ConfigError, JobError, redact
from rnnlane.execution.environment import git_state
from rnnlane.jobs import versions as job_versions
from rnnlane.jobs.client import Job, JobClient
from rnnlane.jobs.package import (
    PackedFile,
    digest,
    experiment_file,
    files_for,
    reads_only_what_is_sent,
    write_package,
)
from rnnlane.tracking.credentials import FILE_VARIABLE
from rnnlane.tracking.uris import resolve_uri, sqlite_file

# Ray kills a stopped job after 3 s by default. The driver may first wait for MLflow, for up to
# tracking.flush_timeout_s; it gets so much longer.
STOP_MARGIN_S = 30


@dataclass(frozen=True)
class SubmitOptions:
    """How to send an experiment.

    Attributes:
        again: start a new run, regardless of earlier jobs.
        runtime_env: ``pip`` to install our packages for the job, ``cluster`` to use the cluster's.
        credentials_file: path on the cluster of the MLflow server's account.
    """

    again: bool = False
    runtime_env: Literal["cluster", "pip"] = "cluster"
    credentials_file: str | None = None


def submit(
    config: ExperimentConfig,
    client: JobClient,
    options: SubmitOptions,
    *,
    note: Callable[[str], None],
) -> Job:
    """Sends an experiment as a job, or returns its earlier job.

    An earlier job is returned if it has not ended yet, or if it succeeded with exactly the same
    experiment, code and data. Otherwise the next attempt resumes the run of the previous one,
    unless other code has finished that. Nothing is sent to a cluster with other versions.

    Raises:
        ConfigError: the experiment cannot run on a cluster as it is, or not on this one; or it
            runs there at the moment with other code or data.
        JobError: the cluster refuses it.
    """
    environment = job_environment(config, os.environ, credentials_file=options.credentials_file)
    files = files_for(config)
    metadata = _metadata(config, files)
    earlier = [job for job in client.jobs() if _is_of(job, metadata)]
    same = None if options.again else _same_job(earlier, config, metadata)
    if same is not None:
        note(f"the job is already {same.status.lower()}; --again starts a new run")
        return same
    _check_versions(client, options, note)
    attempt = 1 + max((_attempt(job) for job in earlier), default=0)
    submission_id = f"{_id_stem(config, metadata)}-{attempt}"
    facts = {"rnnlane.submission_id": submission_id, "rnnlane.user": _user(), **git_state()}
    environment[JOB_VARIABLE] = submission_id
    runtime_env: dict[str, Any] = {"env_vars": environment}
    if options.runtime_env == "pip":
        runtime_env["pip"] = pins = job_versions.pins()
        size = job_versions.installed_bytes(pins) / 1e9
        note(
            f"pip installs {len(pins)} packages for the job, {size:.1f} GB as they are here, and "
            "what else they need; that may take minutes, and later jobs reuse it"
        )
    num_bytes = sum(file.size for file in files)
    note(f"sending {len(files)} files, {num_bytes / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as scratch:
        write_package(Path(scratch), config, files, tags=facts)
        try:
            client.submit(
                submission_id,
                entrypoint=entrypoint(config, resume=not options.again),
                runtime_env={**runtime_env, "working_dir": scratch},
                metadata={**metadata, **facts},
            )
        except JobError as error:
            if "already exists" not in error.message:
                raise
            note("the same job was submitted by someone else at the same moment")
    return client.job(submission_id)


def _check_versions(client: JobClient, options: SubmitOptions, note: Callable[[str], None]) -> None:
    cluster_versions = job_versions.ask(client)
    with_packages = options.runtime_env == "cluster"
    job_versions.check(cluster_versions, address=client.address, with_packages=with_packages)
    if other := job_versions.other_rnnlane(cluster_versions):
        note(f"the cluster has rnnlane {other} installed; the job runs the source from here")


def _metadata(config: ExperimentConfig, files: list[PackedFile]) -> dict[str, str]:
    """What `rnnlane jobs` and later submissions read."""
    code_and_data = digest(files)
    return {
        "rnnlane.job": f"rnnlane-{config.name}-{job_fingerprint(config)[:8]}",
        "rnnlane.experiment": config.name,
        "rnnlane.verb": job_verb(config),
        "rnnlane.fingerprint": job_fingerprint(config),
        "rnnlane.files": code_and_data,
        "rnnlane.content": fingerprint([config.model_dump(mode="json"), code_and_data]),
    }


def _is_of(job: Job, metadata: Mapping[str, str]) -> bool:
    """Whether a job is of the same experiment, with whatever code and data."""
    return job.metadata.get("rnnlane.job") == metadata["rnnlane.job"]


def _id_stem(config: ExperimentConfig, metadata: Mapping[str, str]) -> str:
    """The beginning of a job's id, before the attempt's number.

    It depends on code and data, so that two people who send different ones at the same moment do
    not share a job.
    """
    computed = fingerprint([metadata["rnnlane.fingerprint"], metadata["rnnlane.files"]])
    return f"rnnlane-{config.name}-{computed[:8]}"


def entrypoint(config: ExperimentConfig, *, resume: bool) -> str:
    """The job's command.

    Ray's dashboard has no other name for a job. ``exec`` makes a stopped job's signal reach it.
    """
    command = f"exec python -m rnnlane {job_verb(config)} {experiment_file(config)}"
    return f"{command} --resume" if resume else command


def job_environment(
    config: ExperimentConfig, environ: Mapping[str, str], *, credentials_file: str | None
) -> dict[str, str]:
    """The environment variables of a job: the MLflow store, and the file with its account.

    The cluster shows their values to everybody who can see it, so none of them may be secret.

    Raises:
        ConfigError: an address contains credentials, or a path is not valid on another machine.
    """
    refuse_secrets(config.model_dump(mode="json"))
    _refuse_temporary_paths(config)
    stop_wait_s = math.ceil(config.tracking.flush_timeout_s) + STOP_MARGIN_S
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(stop_wait_s)}
    uri = environ.get("MLFLOW_TRACKING_URI")
    if uri and config.tracking.uri is None:
        variables["MLFLOW_TRACKING_URI"] = sendable_store(uri)
    return variables | account_variables(credentials_file)


def account_variables(credentials_file: str | None) -> dict[str, str]:
    """The variable that names the file with the MLflow account, on the cluster.

    Raises:
        ConfigError: the file's path is not absolute, so not valid on another machine.
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
    """Returns ``uri`` if a job on another machine can use that MLflow store.

    Raises:
        ConfigError: it is a file here, or its address contains credentials.
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
    """Refuses addresses with credentials in nested values that are to be sent.

    Raises:
        ConfigError: there is one; names the first by its dotted key.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{prefix}{key}.")
        elif isinstance(value, str) and "://" in value and redact(value) != value:
            raise ConfigError(
                f"what is sent with a job may contain no credentials, but got {redact(value)!r}",
                where=f"{prefix}{key}",
                remedy="leave them out of the address; for MLflow give --credentials-file, for "
                "storage start the cluster with AWS_ACCESS_KEY_ID and the like",
            )


def _refuse_temporary_paths(config: ExperimentConfig) -> None:
    """Refuses relative paths that a job would write to, in a directory that is deleted after it."""
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
        remedy="name a path or URI that every node of the cluster reaches",
    )


def _same_job(
    earlier: list[Job], config: ExperimentConfig, metadata: Mapping[str, str]
) -> Job | None:
    """The newest attempt, if another one is unnecessary.

    Raises:
        ConfigError: it is under way with other code or data.
    """
    if not earlier:
        return None
    newest = max(earlier, key=_attempt)

    def is_equal(key: str) -> bool:
        return newest.metadata.get(key) == metadata[key]

    if not newest.is_final and not is_equal("rnnlane.files"):
        raise ConfigError(
            f"one job of an experiment runs at a time, but {newest.submission_id} is still "
            f"{newest.status.lower()}, with other code or data files",
            where="submit",
            remedy=f"wait for it, stop it by `rnnlane jobs stop {newest.submission_id}`, or give "
            "--again to start a run beside it",
        )
    # Data that is on the cluster may have changed there: only a job can tell.
    is_done = (
        newest.status == "SUCCEEDED"
        and is_equal("rnnlane.content")
        and reads_only_what_is_sent(config)
    )
    return newest if is_done or not newest.is_final else None


def _attempt(job: Job) -> int:
    number = job.submission_id.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def job_verb(config: ExperimentConfig) -> str:
    """The verb that an experiment is for: train, or tune if it has a search."""
    return "train" if config.search is None else "tune"


def job_fingerprint(config: ExperimentConfig) -> str:
    """The identity of the run or search that an experiment describes."""
    return config_fingerprint(config) if config.search is None else search_fingerprint(config)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
