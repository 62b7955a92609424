"""Runs in MLflow, written through an outbox so that training never waits for the store."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import TrackingError, redact
from rnnlane.records.system_use import SystemUse
from rnnlane.tracking.client import experiment_id, one_line, open_client, store_errors
from rnnlane.tracking.colors import next_color
from rnnlane.tracking.datasets import DatasetInfo, as_contents
from rnnlane.tracking.delivery import (
    KEY_TAG,
    REASON_TAG,
    MlflowDestination,
    child_runs,
    logged_steps,
    reopen_run,
)
from rnnlane.tracking.history import HistoryLog, is_summary
from rnnlane.tracking.internals import COLOR_TAG, with_context_tags
from rnnlane.tracking.links import Pages, run_link, runs_link
from rnnlane.tracking.outbox import (
    DATABASE_NAME,
    OLD_JOURNAL_NAME,
    Outbox,
    OutboxUnavailableError,
    RecordKind,
)
from rnnlane.tracking.packaging import DEFAULT_EXAMPLE, MODEL_PATH, Served, save_model
from rnnlane.tracking.sender import Sender, send_all
from rnnlane.tracking.system_metrics import SystemMetrics
from rnnlane.tracking.uris import resolve_uri, store_identity
from rnnlane.tracking.views import prepare_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
ParamValue = str | int | float | bool | None

MAX_VALUE_CHARS = 6000


@dataclass(frozen=True)
class RunSpec:
    """What a run is called and described by.

    Attributes:
        name: shown in MLflow's list of runs.
        predictor: the class that loads a bundle for serving, as ``module:Class``.
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
        config: the store and the MLflow experiment.
        spec: name, params and tags; a reopened run gets only the params that it lacks.
        outbox: folder for writes that are not sent yet, of this run alone. What an earlier process
            left in it is sent first.
        resume_run_id: the run to reopen; its status becomes RUNNING.

    Raises:
        ConfigError: the address of the store is not valid.
        TrackingError: the store is away or refuses; the run to resume does not exist or was
            deleted; or another process holds the outbox, or it has records for another store. No
            run was started.
    """
    uri = resolve_uri(config.uri)
    box = Outbox(outbox, store=store_identity(uri))
    try:
        client = open_client(uri)
        destination = MlflowDestination(client)
        with store_errors(uri, "cannot send what an earlier process left"):
            send_all(box, destination)
        log = HistoryLog()
        if resume_run_id is None:
            run = _create_run(client, uri, config=config, spec=spec)
        else:
            run, log = _reopen_run(client, uri, run_id=resume_run_id)
            with store_errors(uri, "cannot list the trials of the run"):
                destination.find_trials(resume_run_id)
    except BaseException:
        box.close()
        raise
    sender = Sender(box, destination)
    tracker = MlflowTracker(
        run.info.run_id,
        config=config,
        spec=spec,
        sender=sender,
        log=log,
        pages=_pages(client, uri, run),
    )
    tracker.log_params({k: v for k, v in spec.params.items() if k not in run.data.params})
    return tracker


def send_outbox(uri: str, outbox: Path) -> int:
    """Sends what an earlier process left, in order.

    Returns:
        The number of records sent or, if the store refused them, set aside. 0 if a running process
        is sending them, or if they are for another store.

    Raises:
        TrackingError: the store still cannot be reached; the rest stays in the outbox.
    """
    if (outbox / OLD_JOURNAL_NAME).exists():
        logger.warning(
            "%s was written by rnnlane 0.1 and is not sent; send it with 0.1 or delete it", outbox
        )
    if not (outbox / DATABASE_NAME).exists():
        return 0
    try:
        box = Outbox(outbox, store=store_identity(uri))
    except OutboxUnavailableError as error:
        logger.info("not sent: %s", error)
        return 0
    try:
        num_pending, _ = box.counts()
        if num_pending == 0:
            return 0
        client = open_client(uri)
        with store_errors(uri, f"{num_pending} records wait in {outbox}"):
            return send_all(box, MlflowDestination(client))
    finally:
        box.close()


def terminate_run(
    uri: str, run_id: str, status: RunStatus, *, reason: str, log_folder: Path | None = None
) -> None:
    """Ends a run whose driver died, and its trials, where they are still RUNNING.

    Args:
        uri: the store.
        run_id: the run.
        status: how it ended.
        reason: why, for a person to read.
        log_folder: the driver's log, whose files become artifacts of the run; it may not exist.

    Raises:
        TrackingError: the store is away, or has no such run.
    """
    client = open_client(uri)
    with store_errors(uri, f"cannot end the run {run_id}"):
        parent = client.get_run(run_id)
        if parent.info.status == "RUNNING" and log_folder is not None and log_folder.is_dir():
            _log_driver_log(client, run_id, log_folder)
        # The parent comes last, so that an interrupted call can be repeated.
        # A child that is a run of its own, as that of a seed, has a life of its own.
        trials = [run for run in child_runs(client, parent) if KEY_TAG in run.data.tags]
        for run in [*trials, parent]:
            if run.info.status == "RUNNING":
                client.set_tag(run.info.run_id, REASON_TAG, redact(reason))
                client.set_terminated(run.info.run_id, status)


def _log_driver_log(client: MlflowClient, run_id: str, folder: Path) -> None:
    """A log that cannot be sent, as to artifacts out of reach, must not leave a run RUNNING."""
    try:
        client.log_artifacts(run_id, str(folder))
    except Exception as error:  # whatever a driver of artifacts raises
        logger.warning("the driver's log of run %s was not sent: %s", run_id, one_line(error))


class MlflowTracker:
    """One MLflow run. No write waits for the store, or fails because the store is away.

    Attributes:
        run_id: MLflow's id of the run.
        tracking_uri: the store's address; may hold a password, so redact it before showing it.
        sender: sends the records of the run, and of others that use the same outbox.
        pages: MLflow's pages of the run.
    """

    def __init__(
        self,
        run_id: str,
        *,
        config: TrackingConfig,
        spec: RunSpec,
        sender: Sender,
        log: HistoryLog,
        pages: Pages,
    ):
        """Starts to sample the machine, if the configuration asks for it.

        Args:
            run_id: a run that exists and is RUNNING.
            config: the tracking section.
            spec: for packaging the model.
            sender: sends the run's records; :meth:`finish` stops it and closes its outbox.
            log: knows which metrics and params the run has already.
            pages: MLflow's pages of the run.
        """
        self.run_id = run_id
        self.tracking_uri = resolve_uri(config.uri)
        self._config = config
        self._spec = spec
        self.sender = sender
        self.pages = pages
        self._log = log
        self._history_lock = threading.Lock()
        self._is_complete: bool | None = None
        self._system_metrics = None
        if config.system_metrics:
            steps = [step for key, step in log.logged if key.startswith("system/")]
            self._system_metrics = SystemMetrics(
                self._log_metrics, first_step=max(steps, default=-1) + 1
            )

    def log_params(self, params: Mapping[str, ParamValue]) -> None:
        """Logs flat values as text, each cut to ``MAX_VALUE_CHARS``; one may be logged once."""
        if params:
            self._write("params", as_texts(params))

    def log_history(
        self, history: Sequence[Mapping[str, float]], best_epoch: int | None = None
    ) -> None:
        """Logs what is not logged yet. The first call with a value sets the value's time.

        Args:
            history: the whole run so far, one mapping an epoch, each with its number from 1 under
                the key ``epoch``. Given whole each time, so that a resumed run has neither gaps nor
                duplicates.
            best_epoch: the number of the best one so far, whose metrics are logged as those of the
                run; see :func:`rnnlane.tracking.history.summary_of`.
        """
        with self._history_lock:
            for kind, content in self._log.new_records(history, best_epoch):
                self._write(kind, content)

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Logs metrics of the whole run, which replace those of an earlier call."""
        with self._history_lock:
            for kind, content in self._log.new_summary(values):
                self._write(kind, content)

    def add_system_use(self, use: SystemUse) -> None:
        """Logs a worker's sample of its machine and device with the next one of this machine."""
        if self._system_metrics is not None:
            self._system_metrics.add(use)

    def log_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        """Logs what the run reads; the same data set may be logged again."""
        if datasets:
            self._write("datasets", {"datasets": as_contents(datasets)})

    def link_search(self, search_run_id: str) -> None:
        """Links the run and the search that found its experiment, if the store has that."""
        self._write("search", {"run_id": search_run_id})

    def link_seed(self, seed: int, run_id: str) -> None:
        """Adds a link to the run of one of its seeds to the run's description."""
        self._write("seed", {"seed": seed, "run_id": run_id})

    def log_artifacts(self, folder: Path, artifact_path: str | None = None) -> None:
        """Logs the files of a folder.

        Args:
            folder: its content is logged, not the folder itself. It must stay until :meth:`finish`
                returns, and after a False until the rest was sent.
            artifact_path: folder within the run's artifacts; default: their root.
        """
        self._write("artifacts", {"folder": str(folder.absolute()), "path": artifact_path})

    def log_model(self, bundle: Path, *, best_epoch: int, example: str | None = None) -> str:
        """Packages a trained model for serving and logs it.

        Args:
            bundle: folder that the run's predictor can load; copied before this returns.
            best_epoch: the epoch whose weights it has.
            example: a text that shows what goes in; default: some sentence.

        Returns:
            The model's MLflow address, ``runs:/<run id>/model``.
        """
        folder = self.sender.outbox.files / MODEL_PATH
        shutil.rmtree(folder, ignore_errors=True)
        served = Served(self._spec.predictor, self._spec.class_names, example or DEFAULT_EXAMPLE)
        save_model(bundle, folder, served)
        self._write("model", {"folder": str(folder.absolute()), "best_epoch": best_epoch})
        return f"runs:/{self.run_id}/{MODEL_PATH}"

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets or replaces tags of the run."""
        if tags:
            self._write("tags", as_texts(tags))

    def finish(self, status: RunStatus, *, reason: str | None = None) -> bool:
        """Ends the run; waits up to ``flush_timeout_s`` for a store that is away.

        This is the last call. Repeated calls change nothing and return the first one's result.

        Args:
            status: how the run ended.
            reason: why, for a person to read; becomes the tag ``rnnlane.reason``.

        Returns:
            False if records were refused, or could not be sent in time and stay in the outbox.
        """
        if self._is_complete is None:
            if self._system_metrics is not None:
                self._system_metrics.stop()
            if reason is not None:
                self.set_tags({REASON_TAG: reason})
            self._write("finish", {"status": status})
            self.sender.drain(self._config.flush_timeout_s)
            self.sender.stop()
            self._is_complete = self._close_outbox()
        return self._is_complete

    def _close_outbox(self) -> bool:
        outbox = self.sender.outbox
        num_pending, num_rejected = outbox.counts()
        outbox.close()
        if num_pending or num_rejected:
            logger.warning(
                "%d records wait for the tracking store and %d were refused by it; they are in %s",
                num_pending,
                num_rejected,
                outbox.folder,
            )
        return not (num_pending or num_rejected)

    def _log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._write("metrics", {"step": step, "values": dict(values)})

    def _write(self, kind: RecordKind, content: Mapping[str, Any]) -> None:
        self.sender.write(kind, content, run_id=self.run_id)


def _create_run(client: MlflowClient, uri: str, *, config: TrackingConfig, spec: RunSpec) -> Run:
    experiment = experiment_id(client, uri=uri, name=config.mlflow_experiment)
    with store_errors(uri, "cannot create a run"):
        color = {COLOR_TAG: next_color(client, experiment)}
        tags = with_context_tags(as_texts({**color, **config.tags, **spec.tags}))
        return client.create_run(experiment, tags=tags, run_name=spec.name)


def _pages(client: MlflowClient, uri: str, run: Run) -> Pages:
    experiment, run_id = run.info.experiment_id, run.info.run_id
    view = prepare_experiment(client, experiment)
    return Pages(run_link(uri, experiment, run_id), runs_link(uri, experiment, view=view))


def _reopen_run(client: MlflowClient, uri: str, *, run_id: str) -> tuple[Run, HistoryLog]:
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
            if not is_summary(key)
            for step in logged_steps(client, run_id, key=key)
        }
        reopen_run(client, run)
    summary = {key: value for key, value in run.data.metrics.items() if is_summary(key)}
    return run, HistoryLog(logged, summary=summary, params=run.data.params)


def as_texts(values: Mapping[str, ParamValue]) -> dict[str, str]:
    """Values of params or tags as text, without secrets, cut to ``MAX_VALUE_CHARS``."""
    return {key: redact(str(value))[:MAX_VALUE_CHARS] for key, value in values.items()}
