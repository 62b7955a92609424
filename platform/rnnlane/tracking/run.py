"""Runs in MLflow, written through an outbox so that training never waits for the store."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlane.config.experiment import TrackingConfig
from rnnlane.errors import TrackingError, redact
from rnnlane.tracking.client import experiment_id, open_client, store_errors
from rnnlane.tracking.delivery import (
    REASON_TAG,
    MlflowDestination,
    child_runs,
    logged_steps,
    reopen_run,
)
from rnnlane.tracking.outbox import Kind, Outbox, OutboxUnavailableError
from rnnlane.tracking.packaging import MODEL_PATH, save_model
from rnnlane.tracking.sender import Sender, send_all
from rnnlane.tracking.system_metrics import SystemMetrics
from rnnlane.tracking.tracker import RunStatus
from rnnlane.tracking.uris import resolve_uri, store_identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

Point = tuple[str, int]
ParamValue = str | int | float | bool | None

MAX_VALUE_CHARS = 6000


@dataclass(frozen=True)
class RunSpec:
    """What a run is called and described by.

    Attributes:
        name: shown in MLflow's list of runs.
        predictor: where serving finds what reads a bundle, as ``module:Class``.
        class_names: of the model's classes, in the order of their labels.
        params: flat; values are logged as text, cut to 6,000 characters.
        tags: added to those of the tracking section.
    """

    name: str
    predictor: str
    class_names: tuple[str, ...]
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def start_run(
    config: TrackingConfig, spec: RunSpec, *, outbox: Path, resume_run_id: str | None = None
) -> MlflowTracker:
    """Starts one MLflow run, or reopens one.

    Args:
        config: where and under which MLflow experiment.
        spec: name, params and tags; a reopened run gets only the params that it lacks.
        outbox: folder for writes on their way; of this run alone. What an earlier process left in
            it is sent first.
        resume_run_id: the run to go on with; it is RUNNING again.

    Raises:
        ConfigError: the address of the store cannot be one.
        TrackingError: the store is away or refuses; the run to resume is not there or deleted; or
            the outbox is another process's or holds records for another store. Nothing was
            started.
    """
    tracker, _, _ = open_run(config, spec, outbox=outbox, resume_run_id=resume_run_id)
    return tracker


def open_run(
    config: TrackingConfig, spec: RunSpec, *, outbox: Path, resume_run_id: str | None = None
) -> tuple[MlflowTracker, Sender, MlflowDestination]:
    """What :func:`start_run` does, for runs that have trials below them.

    Returns:
        The run; the sender, which also takes records of the trials; and where it sends them, which
        knows the trials of a reopened run.

    Raises:
        ConfigError: see start_run.
        TrackingError: see start_run.
    """
    uri = resolve_uri(config.uri)
    box = Outbox(outbox, store=store_identity(uri))
    try:
        client = open_client(uri)
        destination = MlflowDestination(client)
        with store_errors(uri, "cannot send what an earlier process left"):
            send_all(box, destination)
        if resume_run_id is None:
            run, logged = _create_run(client, uri, config=config, spec=spec), set[Point]()
        else:
            run, logged = _reopen_run(client, uri, run_id=resume_run_id)
            with store_errors(uri, "cannot list the trials of the run"):
                destination.find_trials(resume_run_id)
    except BaseException:
        box.close()
        raise
    sender = Sender(box, destination)
    tracker = MlflowTracker(run.info.run_id, config=config, spec=spec, sender=sender, logged=logged)
    tracker.log_params({k: v for k, v in spec.params.items() if k not in run.data.params})
    return tracker, sender, destination


def send_outbox(uri: str, outbox: Path) -> int:
    """Sends what an earlier process left, in order.

    Returns:
        The number of records sent or, where the store refused one, put aside. 0 where a process
        that lives is sending them, and where they are for another store.

    Raises:
        TrackingError: the store is still away; the rest stays.
    """
    if not (outbox / "journal.jsonl").exists():
        return 0
    try:
        box = Outbox(outbox, store=store_identity(uri))
    except OutboxUnavailableError as error:
        logger.info("left alone: %s", error)
        return 0
    try:
        client = open_client(uri)
        with store_errors(uri, f"{len(box.pending())} records wait in {outbox}"):
            return send_all(box, MlflowDestination(client))
    finally:
        box.close()


def terminate_run(uri: str, run_id: str, status: RunStatus, *, reason: str) -> None:
    """Gives a run whose driver is dead, and its trials, their true status, unless they have one.

    Raises:
        TrackingError: the store is away, or has no such run.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot end the run {run_id}"):
        run = client.get_run(run_id)
        # The run itself comes last: cut off before, this begins again.
        for one in [*child_runs(client, run), run]:
            if one.info.status == "RUNNING":
                client.set_tag(one.info.run_id, REASON_TAG, redact(reason))
                client.set_terminated(one.info.run_id, status)


class MlflowTracker:
    """The Tracker of one MLflow run; see :class:`rnnlane.tracking.tracker.Tracker`."""

    def __init__(
        self,
        run_id: str,
        *,
        config: TrackingConfig,
        spec: RunSpec,
        sender: Sender,
        logged: set[Point],
    ):
        """Starts to sample the machine, if the configuration wants it.

        Args:
            run_id: a run that exists and is RUNNING.
            config: the tracking section.
            spec: for packaging the model.
            sender: takes the run's records; stopped by :meth:`finish`, and its outbox closed.
            logged: key and step of the metrics that the run has already.
        """
        self.run_id = run_id
        self.tracking_uri = resolve_uri(config.uri)
        self._config = config
        self._spec = spec
        self._sender = sender
        self._outbox = sender.outbox
        self._logged = logged
        self._history_lock = threading.Lock()
        self._is_complete: bool | None = None
        self._system_metrics = None
        if config.system_metrics:
            steps = [step for key, step in logged if key.startswith("system/")]
            self._system_metrics = SystemMetrics(
                self._log_metrics, first_step=max(steps, default=-1) + 1
            )

    def log_params(self, params: Mapping[str, ParamValue]) -> None:
        """Logs flat values as text, each cut to ``MAX_VALUE_CHARS``; one may be logged once."""
        if params:
            self._write("params", as_texts(params))

    def log_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """See Tracker; the call that is the first to give a value sets its time."""
        with self._history_lock:
            for step, values in new_values(history, self._logged):
                self._log_metrics(values, step)

    def log_artifacts(self, folder: Path, artifact_path: str | None = None) -> None:
        """See Tracker."""
        self._write("artifacts", {"folder": str(folder.absolute()), "path": artifact_path})

    def log_model(self, bundle: Path) -> str:
        """See Tracker; the address is ``runs:/<run id>/model``."""
        folder = self._outbox.files / MODEL_PATH
        shutil.rmtree(folder, ignore_errors=True)
        save_model(
            bundle,
            folder,
            predictor=self._spec.predictor,
            class_names=self._spec.class_names,
        )
        self.log_artifacts(folder, MODEL_PATH)
        return f"runs:/{self.run_id}/{MODEL_PATH}"

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """See Tracker."""
        if tags:
            self._write("tags", as_texts(tags))

    def finish(self, status: RunStatus, *, reason: str | None = None) -> bool:
        """See Tracker; waits up to ``flush_timeout_s`` for a store that is away.

        Called once more it only answers again: the first status is the one that counts.
        """
        if self._is_complete is None:
            if self._system_metrics is not None:
                self._system_metrics.stop()
            if reason is not None:
                self.set_tags({REASON_TAG: reason})
            self._write("finish", {"status": status})
            self._sender.drain(self._config.flush_timeout_s)
            self._is_complete = self._close()
        return self._is_complete

    def _close(self) -> bool:
        self._sender.stop()
        self._outbox.close()
        num_pending, num_rejected = len(self._outbox.pending()), self._outbox.num_rejected()
        if num_pending or num_rejected:
            logger.warning(
                "%d records wait for the tracking store and %d were refused by it; they are in %s",
                num_pending,
                num_rejected,
                self._outbox.folder,
            )
        return not (num_pending or num_rejected)

    def _log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._write("metrics", {"step": step, "values": dict(values)})

    def _write(self, kind: Kind, content: Mapping[str, Any]) -> None:
        self._sender.write(kind, content, run_id=self.run_id)


def _create_run(client: MlflowClient, uri: str, *, config: TrackingConfig, spec: RunSpec) -> Run:
    from mlflow.tracking.context.registry import resolve_tags

    experiment = experiment_id(client, uri=uri, name=config.mlflow_experiment)
    with store_errors(uri, "cannot create a run"):
        tags = resolve_tags(as_texts({**config.tags, **spec.tags}))
        return client.create_run(experiment, tags=tags, run_name=spec.name)


def _reopen_run(client: MlflowClient, uri: str, *, run_id: str) -> tuple[Run, set[Point]]:
    with store_errors(uri, f"cannot resume the run {run_id}"):
        run = client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise TrackingError(
                f"a run to resume must be active, but {run_id} was deleted",
                where=redact(uri),
                remedy="`mlflow runs restore` it, or start a new run",
            )
        logged = {
            (key, step)
            for key in sorted(run.data.metrics)
            for step in logged_steps(client, run_id, key=key)
        }
        reopen_run(client, run)
    return run, logged


def as_texts(values: Mapping[str, ParamValue]) -> dict[str, str]:
    """Params or tags as MLflow takes them: without secrets, cut to ``MAX_VALUE_CHARS``."""
    return {key: redact(str(value))[:MAX_VALUE_CHARS] for key, value in values.items()}


def new_values(
    history: Sequence[Mapping[str, float]], logged: set[Point]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Step and values of the epochs that have something not yet logged.

    Args:
        history: as :meth:`MlflowTracker.log_history` takes it.
        logged: key and step of what was logged; what was given out and dealt with is added.
    """
    for entry in history:
        step = int(entry["epoch"])
        values = {
            key: float(value)
            for key, value in entry.items()
            if key != "epoch" and (key, step) not in logged
        }
        if values:
            yield step, values
            logged.update((key, step) for key in values)
