"""Reads an MLflow store: whether it is usable, which runs it holds, and their artifacts."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.errors import ConfigError, RnnlaneError, TrackingError, redact
from rnnlane.tracking.client import experiment_id, open_client, store_errors
from rnnlane.tracking.internals import PARENT_TAG
from rnnlane.tracking.packaging import BUNDLE_PATH
from rnnlane.tracking.uris import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LATEST = "latest"
NO_TRIALS = f"tags.`{PARENT_TAG}` IS NULL"
# Searches and their trials have this tag, and no model.
HAS_MODEL = "tags.`rnnlane.kind` IS NULL"
MIN_PREFIX_CHARS = 6
_MAX_CANDIDATES = 200


@dataclass(frozen=True)
class RunSummary:
    """One run, as recorded in the store.

    Attributes:
        status: RUNNING, FINISHED, FAILED, KILLED or SCHEDULED.
        started_at: in seconds since 1970.
        duration_s: None while the run lasts.
        metrics: the last value of each.
    """

    run_id: str
    name: str
    status: str
    started_at: float
    duration_s: float | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    artifact_uri: str


def check_store(uri: str, *, mlflow_experiment: str | None = None) -> None:
    """Opens the store as a run does, which creates a missing SQLite file.

    Args:
        uri: the store.
        mlflow_experiment: also creates this MLflow experiment if it is missing, and writes its tag
            ``rnnlane.checked``. Without it a server is only read.

    Raises:
        TrackingError: the store is away, refuses the credentials or the write, is of another MLflow
            version, or its file cannot be written.
    """
    client = open_client(uri)
    database = sqlite_file(uri)
    if database is not None and not os.access(database, os.W_OK):
        raise TrackingError(
            "the store's file must be writable, but it is not",
            where=redact(uri),
            remedy="change its owner or mode, or set RNNLANE_HOME or tracking.uri",
        )
    if mlflow_experiment is not None:
        experiment = experiment_id(client, uri=uri, name=mlflow_experiment)
        with store_errors(uri, "cannot write to the MLflow store"):
            client.set_experiment_tag(experiment, "rnnlane.checked", "true")


def is_reachable(uri: str) -> bool:
    """Whether the store answers now."""
    try:
        open_client(uri)
    except RnnlaneError:
        return False
    return True


def list_runs(
    uri: str, *, mlflow_experiment: str | None, limit: int, with_trials: bool = False
) -> list[RunSummary]:
    """The newest runs, newest first.

    Args:
        uri: the store; a missing SQLite file counts as empty and is not created.
        mlflow_experiment: list only its runs; None: those of all MLflow experiments.
        limit: the greatest number of runs; at least 1.
        with_trials: include the trials of searches.

    Raises:
        TrackingError: the store cannot be read, or has no such experiment.
    """
    if _is_missing(uri):
        return []
    client = open_client(uri)
    with store_errors(uri, "cannot list the runs"):
        experiments = _experiment_ids(client, name=mlflow_experiment)
        if experiments or mlflow_experiment is None:
            where = "" if with_trials else NO_TRIALS
            return _search(client, where, limit=limit, experiments=experiments)
    raise TrackingError(
        f"the MLflow experiment must exist, but there is no {mlflow_experiment!r}",
        where=redact(uri),
        remedy="set tracking.mlflow_experiment to one that has runs",
    )


def find_run(uri: str, reference: str) -> RunSummary:
    """The run that a reference names.

    Args:
        uri: the store.
        reference: a run's id, its first 6 or more characters, a run's name (of several runs the
            newest), or ``latest``: the newest finished run that is no search and no trial.

    Raises:
        ConfigError: no run matches, or several.
        TrackingError: the store cannot be read.
    """
    if _is_missing(uri):
        raise ConfigError(
            f"a run must exist to be used, but the store is empty (got {reference!r})",
            where=redact(uri),
            remedy="train one first, or set tracking.uri to the store that holds it",
        )
    client = open_client(uri)
    with store_errors(uri, "cannot look for the run"):
        if reference == LATEST:
            where = f"attributes.status = 'FINISHED' AND {HAS_MODEL}"
            matches = _search(client, where, limit=1)
        else:
            matches = _by_id(client, reference) or _search(
                client, f"attributes.run_name = {_quoted(reference)}", limit=1
            )
        if len(matches) == 1:
            return matches[0]
        candidates = matches or _search(client, "", limit=_MAX_CANDIDATES)
    raise _no_single_run(uri, reference, several=bool(matches), candidates=candidates)


def find_tagged(uri: str, key: str, value: str) -> str | None:
    """Id of the newest run with that tag; None if no run has it.

    Raises:
        TrackingError: the store cannot be read.
    """
    if _is_missing(uri):
        return None
    client = open_client(uri)
    with store_errors(uri, "cannot look for the run"):
        where = f"tags.`{key}` = {_quoted(value)}"
        matches = _search(client, where, limit=1)
    return matches[0].run_id if matches else None


def download_artifacts(uri: str, run_id: str, path: str, destination: Path) -> Path:
    """Copies an artifact file or folder of a run.

    Args:
        uri: the store.
        run_id: the run's whole id.
        path: within the run's artifacts; "" for all.
        destination: folder to copy into; created if missing.

    Returns:
        The copy: ``destination / path``.

    Raises:
        TrackingError: the store or its artifacts cannot be read, or the artifact does not exist.
    """
    open_client(uri)
    with store_errors(uri, f"cannot read the artifact {path!r} of run {run_id}"):
        from mlflow.artifacts import download_artifacts as download

        copied = download(
            run_id=run_id, artifact_path=path, dst_path=str(destination), tracking_uri=uri
        )
    return Path(copied)


def download_model(uri: str, run_id: str, destination: Path) -> Path:
    """Copies the bundle of the model that a run logged, and returns its folder.

    Raises:
        TrackingError: the store or its artifacts cannot be read, or the run has no model.
    """
    return download_artifacts(uri, run_id, BUNDLE_PATH, destination)


def _by_id(client: MlflowClient, reference: str) -> list[RunSummary]:
    if not re.fullmatch(rf"[0-9a-zA-Z]{{{MIN_PREFIX_CHARS},}}", reference):
        return []
    where = f"attributes.run_id LIKE '{reference}%'"
    return _search(client, where, limit=_MAX_CANDIDATES)


def _experiment_ids(client: MlflowClient, *, name: str | None = None) -> list[str]:
    """Ids of the active experiments, or of the one with a name."""
    experiments = client.search_experiments()
    return [one.experiment_id for one in experiments if name in {None, one.name}]


def _search(
    client: MlflowClient, where: str, *, limit: int, experiments: list[str] | None = None
) -> list[RunSummary]:
    """The newest runs that match a filter of MLflow; by default of all experiments."""
    if experiments is None:
        experiments = _experiment_ids(client)
    order = ["attributes.start_time DESC"]
    runs = client.search_runs(experiments, where, max_results=limit, order_by=order)
    return [_summary(run) for run in runs]


def _summary(run: Run) -> RunSummary:
    info = run.info
    running = info.status == "RUNNING" or info.end_time is None
    return RunSummary(
        run_id=info.run_id,
        name=info.run_name,
        status=info.status,
        started_at=info.start_time / 1000,
        duration_s=None if running else (info.end_time - info.start_time) / 1000,
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        artifact_uri=info.artifact_uri,
    )


def _no_single_run(
    uri: str, reference: str, *, several: bool, candidates: list[RunSummary]
) -> ConfigError:
    ids = [run.run_id for run in candidates]
    if several:
        return ConfigError(
            f"a reference must name one run, but {len(ids)} run ids begin with {reference!r}",
            where=redact(uri),
            remedy=f"give more characters of the id: {', '.join(ids[:5])}",
        )
    if reference == LATEST:
        return ConfigError(
            "`latest` is the newest finished run of `rnnlane train`, but there is none",
            where=redact(uri),
            remedy="train one first, or name a run",
        )
    names = list(dict.fromkeys(run.name for run in candidates))
    near = difflib.get_close_matches(reference, names + ids, n=3, cutoff=0.5)
    hint = f"similar: {', '.join(near)}" if near else f"the newest are: {', '.join(names[:3])}"
    return ConfigError(
        f"no run has the id or name {reference!r}",
        where=redact(uri),
        remedy=hint if names else "the store holds no runs yet",
    )


def _quoted(name: str) -> str:
    # MLflow's filters have no escapes: a run whose name has both kinds of quotes needs its id.
    quote = '"' if "'" in name else "'"
    return f"{quote}{name.replace(quote, '')}{quote}"


def _is_missing(uri: str) -> bool:
    database = sqlite_file(uri)
    return database is not None and not database.exists()
