"""Reads an MLflow store: whether it is usable, which runs it holds, and their artifacts."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rnnlane.errors import ConfigError, RnnlaneError, TrackingError, redact
from rnnlane.tracking.client import experiment_id, open_client, store_errors
from rnnlane.tracking.history import BEST_EPOCH_METRIC, BEST_PREFIX, is_summary
from rnnlane.tracking.internals import PARENT_TAG
from rnnlane.tracking.logged_model import model_ids
from rnnlane.tracking.packaging import BUNDLE_PATH, MODEL_PATH
from rnnlane.tracking.registry import SCHEME, run_of_address
from rnnlane.tracking.uris import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LATEST = "latest"
NO_TRIALS = f"tags.`{PARENT_TAG}` IS NULL"
# Every run of rnnlane has the first tag; searches, their trials and pretraining, which log no
# classifier, the second.
RUN_KEY_TAG, KIND_TAG = "rnnlane.run_key", "rnnlane.kind"
# Of a run of several seeds: which, and the run of the one that is best on val; of each: its seed.
SEEDS_TAG, BEST_SEED_TAG, SEED_TAG = "rnnlane.seeds", "rnnlane.best_seed_run", "rnnlane.seed"
# Of its prepared data, of the code that made it, and, of a baseline or an ensemble, what it is.
DATA_TAG, CODE_TAG, MODEL_TAG = "rnnlane.data_fingerprint", "version.code", "rnnlane.model"
HAS_MODEL = (
    f"attributes.status = 'FINISHED' AND tags.`{RUN_KEY_TAG}` IS NOT NULL "
    f"AND tags.`{KIND_TAG}` IS NULL"
)
# What KIND_TAG says of a run of `rnnlane pretrain`, and where its artifacts hold the model.
PRETRAINING, PRETRAINED_PATH = "pretraining", "pretrained"
IS_PRETRAINED = (
    f"attributes.status = 'FINISHED' AND tags.`{RUN_KEY_TAG}` IS NOT NULL "
    f"AND tags.`{KIND_TAG}` = '{PRETRAINING}'"
)
EXPERIMENT_PATH = "experiment.yaml"
"""Path of the resolved experiment in a run's artifacts."""

BEST_EPOCH_TAG = "rnnlane.best_epoch"
EPOCH_METRICS = ("train/accuracy", "val/accuracy", "throughput/rows_per_s")
MIN_PREFIX_CHARS = 6
_MAX_CANDIDATES = 200
_MAX_NAMED = 10
_REQUESTS_AT_ONCE = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """One run, as recorded in the store.

    Attributes:
        status: RUNNING, FINISHED, FAILED, KILLED or SCHEDULED.
        started_at: in seconds since 1970.
        duration_s: None while the run lasts.
        metrics: the last value of each.
        best: the best ``epoch`` so far, whose weights a model has in the end, and the val metrics,
            the :data:`EPOCH_METRICS` and the test metrics of that epoch; of a search those of its
            best trial. Filled by :func:`list_runs` only.
        experiment_id: MLflow's id of its experiment.
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
    best: Mapping[str, float] = field(default_factory=dict)
    experiment_id: str = ""


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
    if is_missing(uri):
        return []
    client = open_client(uri)
    with store_errors(uri, "cannot list the runs"):
        experiments = _experiment_ids(client, name=mlflow_experiment)
        if experiments or mlflow_experiment is None:
            where = "" if with_trials else NO_TRIALS
            runs = _search(client, where, limit=limit, experiments=experiments)
            with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as executor:
                return list(executor.map(partial(_with_best, client), runs))
    raise TrackingError(
        f"the MLflow experiment must exist, but there is no {mlflow_experiment!r}",
        where=redact(uri),
        remedy="set tracking.mlflow_experiment to one that has runs",
    )


def _with_best(client: MlflowClient, run: RunSummary) -> RunSummary:
    # Runs of version 0.3 and earlier have only the tag, and that only once they have finished.
    tag = run.tags.get(BEST_EPOCH_TAG, "")
    epoch = run.metrics.get(BEST_EPOCH_METRIC, float(tag) if tag.isdecimal() else None)
    if epoch is None:
        return run
    of_run = {k.removeprefix(BEST_PREFIX): v for k, v in run.metrics.items() if is_summary(k)}
    of_run.pop(BEST_EPOCH_METRIC, None)
    best = {"epoch": epoch, **of_run}
    # A search has none of these: they are those of its trials.
    for key in (key for key in EPOCH_METRICS if key in run.metrics and key not in best):
        for point in client.get_metric_history(run.run_id, key):
            if point.step == epoch:
                best[key] = point.value
    return replace(run, best=best)


def find_run(
    uri: str,
    reference: str,
    *,
    with_model: bool = False,
    of_seeds: Literal["best", "none"] = "best",
) -> RunSummary:
    """The run that a reference names.

    Args:
        uri: the store.
        reference: a run's id, its first 6 or more characters, a run's name (of several runs the
            newest), ``latest``: the newest run that has a model; or the address of a registered
            model, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``: the run that trained it.
        with_model: accept only a run that has a model of rnnlane: a finished one that is no search,
            no trial and not another tool's. Of several runs with a name, the newest such run.
        of_seeds: whether a run of several seeds, which has no model of its own, stands for the run
            of the one that is best on val, which a warning says, or is refused as well.

    Raises:
        ConfigError: no run matches, or several, or the one that does has no model.
        TrackingError: the store cannot be read.
    """
    if is_missing(uri):
        raise ConfigError(
            f"a run must exist to be used, but the store is empty (got {reference!r})",
            where=redact(uri),
            remedy="train one first, or set tracking.uri to the store that holds it",
        )
    client = open_client(uri)
    with store_errors(uri, "cannot look for the run"):
        if reference.startswith(SCHEME):
            reference = run_of_address(client, reference)
        if reference == LATEST:
            matches = _search(client, f"{HAS_MODEL} AND {NO_TRIALS}", limit=1)
        else:
            matches = (
                _by_id(client, reference)
                or (with_model and _by_name(client, reference, f" AND {HAS_MODEL}"))
                or _by_name(client, reference)
            )
        candidates = matches or _search(client, "", limit=_MAX_CANDIDATES)
    if len(matches) != 1:
        raise _no_single_run(uri, reference, several=bool(matches), candidates=candidates)
    [run] = matches
    if not with_model:
        return run
    _check_has_model(uri, run)
    if SEEDS_TAG not in run.tags:
        return run
    with store_errors(uri, f"cannot read the runs of the seeds of {run.run_id}"):
        if of_seeds == "none":
            raise _one_seed_wanted(client, uri, run)
        best = _summary(client.get_run(run.tags[BEST_SEED_TAG]))
    logger.warning(
        "%s (%s) has the seeds %s: this is the model of seed %s, the best on val (run %s)",
        run.name,
        run.run_id[:8],
        run.tags[SEEDS_TAG],
        best.tags.get(SEED_TAG, "?"),
        best.run_id[:8],
    )
    return best


def _one_seed_wanted(client: MlflowClient, uri: str, run: RunSummary) -> ConfigError:
    of_run = f"tags.`{PARENT_TAG}` = '{run.run_id}' AND {HAS_MODEL}"
    found = _search(client, of_run, limit=_MAX_CANDIDATES, experiments=[run.experiment_id])
    names = [f"{one.tags.get(SEED_TAG, '?')} is {one.run_id[:8]}" for one in reversed(found)]
    more = f", and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ConfigError(
        f"a run to compare must have one seed, but {run.name} ({run.run_id}) has the seeds "
        f"{run.tags[SEEDS_TAG]}",
        where=redact(uri),
        remedy=f"compare the runs of the same seed; seed {', '.join(names[:_MAX_NAMED])}{more}",
    )


def find_pretrained(uri: str, reference: str) -> RunSummary:
    """The run of `rnnlane pretrain` that a reference names.

    Args:
        uri: the store.
        reference: a run's id, its first 6 or more characters, a name (of several runs the newest)
            or ``latest``.

    Raises:
        ConfigError: no such run has finished, or several match.
        TrackingError: the store cannot be read.
    """
    if is_missing(uri):
        raise _not_pretrained(uri, reference, "the store is empty")
    client = open_client(uri)
    with store_errors(uri, "cannot look for the run"):
        if reference == LATEST:
            matches = _search(client, IS_PRETRAINED, limit=1)
        else:
            matches = _by_id(client, reference) or _by_name(
                client, reference, f" AND {IS_PRETRAINED}"
            )
    if len(matches) != 1:
        found = f"{len(matches)} runs match" if matches else "there is none"
        raise _not_pretrained(uri, reference, found)
    run = matches[0]
    if run.tags.get(KIND_TAG) != PRETRAINING or run.status != "FINISHED":
        kind = run.tags.get(KIND_TAG, "run of a classifier")
        raise _not_pretrained(uri, reference, f"{run.name} is a {kind} that is {run.status}")
    return run


def _not_pretrained(uri: str, reference: str, found: str) -> ConfigError:
    return ConfigError(
        f"a start must be a finished run of `rnnlane pretrain`, but {found} (got {reference!r})",
        where=redact(uri),
        remedy="run `rnnlane pretrain` first, or name one of its runs; `rnnlane runs` lists them",
    )


def _check_has_model(uri: str, run: RunSummary) -> None:
    kind = run.tags.get(KIND_TAG)
    if RUN_KEY_TAG not in run.tags:
        found, remedy = "was logged by another tool", "`rnnlane runs` lists the runs"
    elif kind == PRETRAINING:
        found, remedy = "is a language model", "train with model.init_from, then use that run"
    elif kind is not None:
        what = "part of an ablation" if kind == "ablation" else f"a {kind}"
        found, remedy = f"is {what}, which logs none", "train its best.yaml, then use that run"
    elif run.status != "FINISHED":
        found, remedy = f"is {run.status}", "finish it with `rnnlane train --resume`"
    else:
        return
    raise ConfigError(
        f"a run must have a model, but {run.name} ({run.run_id}) {found}",
        where=redact(uri),
        remedy=remedy,
    )


def newest_run(client: MlflowClient, *, experiment: str | None = None) -> RunSummary | None:
    """The newest run of rnnlane, of all experiments or of the one with an id."""
    where = f"tags.`{RUN_KEY_TAG}` IS NOT NULL"
    experiments = None if experiment is None else [experiment]
    found = _search(client, where, limit=1, experiments=experiments)
    return found[0] if found else None


def find_tagged(uri: str, key: str, value: str) -> str | None:
    """Id of the newest run with that tag; None if no run has it.

    Raises:
        TrackingError: the store cannot be read.
    """
    if is_missing(uri):
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


def has_artifact(uri: str, run_id: str, path: str) -> bool:
    """Whether a run has an artifact file or folder of that path.

    Raises:
        TrackingError: the store or its artifacts cannot be read.
    """
    client = open_client(uri)
    folder = path.rpartition("/")[0] or None
    with store_errors(uri, f"cannot list the artifacts of run {run_id}"):
        return any(item.path == path for item in client.list_artifacts(run_id, folder))


def download_model(uri: str, run_id: str, destination: Path) -> Path:
    """Copies the bundle of the model that a run logged, and returns its folder.

    Raises:
        TrackingError: the store or its artifacts cannot be read, or the run has no model.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot read the model of run {run_id}"):
        models = model_ids(client.get_run(run_id))
        if models:
            from mlflow.artifacts import download_artifacts as download

            # MLflow's address of a model, models:/ID, takes no path within it.
            location = client.get_logged_model(models[-1]).artifact_location
            copied = download(
                f"{location}/{BUNDLE_PATH}", dst_path=str(destination), tracking_uri=uri
            )
            return Path(copied)
    # A model of rnnlane 0.3.
    return download_artifacts(uri, run_id, f"{MODEL_PATH}/{BUNDLE_PATH}", destination)


def _by_id(client: MlflowClient, reference: str) -> list[RunSummary]:
    if not re.fullmatch(rf"[0-9a-zA-Z]{{{MIN_PREFIX_CHARS},}}", reference):
        return []
    where = f"attributes.run_id LIKE '{reference}%'"
    return _search(client, where, limit=_MAX_CANDIDATES)


def _by_name(client: MlflowClient, name: str, where: str = "") -> list[RunSummary]:
    """The newest run of that name, if there is one."""
    if "'" in name and '"' in name:
        # MLflow's filters have no escapes; _ stands for any character.
        pattern = name.replace("'", "_").replace('"', "_")
        clause, limit = f"attributes.run_name LIKE '{pattern}'", _MAX_CANDIDATES
    else:
        clause, limit = f"attributes.run_name = {_quoted(name)}", 1
    found = _search(client, clause + where, limit=limit)
    return [run for run in found if run.name == name][:1]


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
        experiment_id=info.experiment_id,
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
            "`latest` is the newest finished run of `rnnlane train`, `baseline` or `ensemble`, "
            f"but {f'none of the {len(ids)} runs here is one' if ids else 'there is none'}",
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
    quote = '"' if "'" in name else "'"
    return f"{quote}{name}{quote}"


def is_missing(uri: str) -> bool:
    """Whether the store is a file that does not exist yet."""
    database = sqlite_file(uri)
    return database is not None and not database.exists()
