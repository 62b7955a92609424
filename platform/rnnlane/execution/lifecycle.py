"""The life-cycle of everything that is one MLflow run: a training run, a search, a baseline.

This is the only module that decides between running, finished, failed and killed. What happened is
recorded in an order that stays correct if the driver crashes at any point:

1. The record names the store; then the MLflow run is created, with the record's key as a tag; then
   the record gets its id. A run whose id was never written is found by the tag.
2. The result and the state go into the record; then the end of the run goes into the outbox, and
   is delivered from there; then the record is closed. Once the result is written the run has
   finished, and an interrupted delivery does not change that.
3. What only an unfinished run needs, such as its checkpoints, is removed once the store has the
   rest. Until then the run keeps them.

A record that is not closed and that no process holds belongs to a driver that died; see
:func:`close_abandoned_runs`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import (
    JobError,
    ResourceError,
    RnnlaneError,
    TrackingError,
    disk_error,
    disk_errors,
    is_disk_full,
    redact,
)
from rnnlane.execution.driver_log import DriverLog
from rnnlane.execution.environment import describe_environment
from rnnlane.execution.leftovers import LOG_FOLDER, can_tidy, tidy
from rnnlane.execution.run_record import RunRecord, RunState, all_records
from rnnlane.records.events import RunEvents
from rnnlane.records.results import Result
from rnnlane.records.run_marker import marker_line
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.outbox import has_records, set_aside_if_damaged
from rnnlane.tracking.run import MlflowTracker, RunSpec, RunStatus, send_outbox, terminate_run
from rnnlane.tracking.search import SearchTracker
from rnnlane.tracking.store import DATA_TAG, RUN_KEY_TAG, find_tagged, is_reachable
from rnnlane.tracking.uris import resolve_uri, store_identity

PREDICTOR = "rnnlane.inference:Predictor"
_WHOLE = {"training.class_weights"}

# A file that is removed when the disk is full: more than a record and the end of a run take.
_RESERVE = "reserve"
_RESERVE_BYTES = 256 << 10

logger = logging.getLogger(__name__)

_STATUS: dict[RunState, RunStatus] = {
    "running": "KILLED",
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}


TrackerT = TypeVar("TrackerT", bound=MlflowTracker | SearchTracker)
ResultT = TypeVar("ResultT", bound=Result)


class TrackedRun(Generic[TrackerT]):
    """A run in progress; see :func:`tracked_run`.

    Attributes:
        record: as it is on disk.
        tracker: takes what is to be logged.
        events: takes what happens, for whoever waits for the run and for its log.
    """

    def __init__(
        self, record: RunRecord, tracker: TrackerT, *, events: DriverLog, is_resumable: bool
    ):
        self.record = record
        self.tracker = tracker
        self.events = events
        self._is_resumable = is_resumable

    @property
    def addresses(self) -> dict[str, Any]:
        """Where the run is, for its result: in the store, in MLflow's pages and on this disk."""
        return {
            "run_id": self.tracker.run_id,
            "tracking_uri": redact(self.tracker.tracking_uri),
            "run_url": self.tracker.pages.run,
            "runs_url": self.tracker.pages.runs,
            "run_folder": str(self.record.folder),
        }

    def log_inputs(
        self, write: Callable[[Path], None], datasets: Sequence[DatasetInfo] = ()
    ) -> None:
        """Logs what the run starts from, unless an earlier attempt has.

        Args:
            write: puts files into a folder.
            datasets: what the run reads.
        """
        if not self.record.has_inputs:
            folder = self.record.folder / "inputs"
            with disk_errors(folder):
                folder.mkdir(exist_ok=True)
                write(folder)
            self.tracker.log_artifacts(folder)
            self.tracker.log_datasets(datasets)
            self.record = self.record.update(has_inputs=True)

    def conclude(self, describe: Callable[[bool], ResultT]) -> ResultT:
        """Finishes the run; the last call.

        Args:
            describe: the result, given whether the store has received everything. Called twice:
                before delivery and after it.

        Raises:
            KeyboardInterrupt: the delivery was interrupted, and further seeds would follow. The run
                has finished all the same.
        """
        result = describe(False)
        _remove_reserve(self.record)
        self.record = self.record.update(state="finished", result=result.as_dict())
        is_interrupted = False
        try:
            is_tracked = self._close()
        except KeyboardInterrupt:
            is_tracked, is_interrupted = False, True
        result = describe(is_tracked)
        self.record = tidy(self.record.update(result=result.as_dict()))
        if not is_tracked:
            self.events.note(
                f"the tracking store has not received everything; the rest is in "
                f"{self.record.folder} and will be sent by the next `rnnlane train` or "
                "`rnnlane runs`"
            )
        if is_interrupted and self.record.parent is not None:
            # This seed has finished, but the others must not go on.
            raise KeyboardInterrupt
        return result

    def abort(self, error: BaseException) -> None:
        """Marks a run that raised as killed or failed, unless it has already finished."""
        # If the disk is full, there is room now for the record and the end of the run.
        _remove_reserve(self.record)
        self.record = self.record.reread()
        if self.record.state == "finished":
            return
        self.events.error(error)
        is_interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if is_interrupted else str(error) or type(error).__name__
        if is_interrupted:
            self.events.stage("recording the end of the run")
        try:
            self.record = self.record.update(state="killed" if is_interrupted else "failed")
            self._close(reason=reason)
        except ResourceError as full:
            self.events.note(f"the end of the run is not recorded yet: {full.message}")
        if is_interrupted:
            hint = "; continue with --resume" if self._is_resumable else ""
            self.events.note(f"run {self.tracker.run_id} was interrupted{hint}")

    def _close(self, *, reason: str | None = None) -> bool:
        # It must not grow while it is sent.
        self.events.close()
        if self.events.has_file:
            self.tracker.log_artifacts(self.events.folder)
        is_tracked = self.tracker.finish(_STATUS[self.record.state], reason=reason)
        self.record = self.record.update(is_closed=True)
        return is_tracked


@contextlib.contextmanager
def tracked_run(
    start: Callable[..., TrackerT],
    spec: RunSpec,
    *,
    config: TrackingConfig,
    record: RunRecord,
    events: RunEvents,
    is_resumable: bool = True,
) -> Iterator[TrackedRun[TrackerT]]:
    """Creates or reopens an MLflow run, and ends it according to what happens in the block.

    The block ends with :meth:`TrackedRun.conclude`. If it raises instead, the run is killed (by
    KeyboardInterrupt) or failed, so check beforehand what can be checked.

    Args:
        start: :func:`rnnlane.tracking.run.start_run`, or one with the same arguments.
        spec: see :func:`describe_run`.
        config: the store.
        record: held by this process; see :meth:`RunRecord.locked`.
        events: receives the run's id, and a note if the run is interrupted or not fully delivered.
        is_resumable: whether the verb has the option ``--resume``.

    Raises:
        TrackingError: the store cannot be reached, or refuses the run.
    """
    uri = resolve_uri(config.uri)
    record = _without_damaged_outbox(record)
    run_id = record.run_id
    if run_id is None and record.tracking_uri == store_identity(uri):
        run_id = find_tagged(uri, RUN_KEY_TAG, record.key)
    store = store_identity(uri)
    if run_id is None:
        record = record.update(tracking_uri=store, is_closed=False)
    else:
        # A start that is refused must leave the state and the store of a run that exists.
        record = record.update(is_closed=False)
    tracker = start(config, spec, outbox=record.outbox, resume_run_id=run_id)
    record = record.update(
        tracking_uri=store, run_id=tracker.run_id, state="running", is_tidy=False
    )
    log = DriverLog(events, record.folder / LOG_FOLDER)
    run = TrackedRun(record, tracker, events=log, is_resumable=is_resumable)
    try:
        log.open()
        _write_reserve(record)
        page = tracker.pages.run
        log.note(marker_line(tracker.run_id, tracker.tracking_uri, page=page))
        yield run
    except BaseException as error:
        if isinstance(error, RnnlaneError) or not is_disk_full(error):
            if isinstance(error, RnnlaneError) and error.exit_code == 2:
                error.exit_code = 1  # 2 says that there is no run
            run.abort(error)
            raise
        full = disk_error(error, getattr(error, "filename", None) or record.folder)
        run.abort(full)
        raise full from error
    finally:
        log.close()


def _write_reserve(record: RunRecord) -> None:
    """Takes room on the disk for what must be written if a run ends because the disk is full."""
    with disk_errors(record.folder):
        # Random, because some filesystems take no room for zeros.
        (record.folder / _RESERVE).write_bytes(os.urandom(_RESERVE_BYTES))


def _remove_reserve(record: RunRecord) -> None:
    with contextlib.suppress(OSError):
        (record.folder / _RESERVE).unlink(missing_ok=True)


def describe_run(
    config: ExperimentConfig,
    record: RunRecord,
    *,
    params: Mapping[str, Any],
    class_names: tuple[str, ...] = (),
    tags: Mapping[str, str] | None = None,
) -> RunSpec:
    """The name, params and tags of an MLflow run.

    Args:
        config: the experiment.
        record: of the run.
        params: what distinguishes the run; may be nested.
        class_names: of the model's classes, in the order of their labels.
        tags: further ones.
    """
    return RunSpec(
        name=config.tracking.run_name or config.name,
        params=flattened(params),
        tags={
            **(tags or {}),
            "rnnlane.config_fingerprint": record.config_fingerprint,
            DATA_TAG: record.data_fingerprint,
            RUN_KEY_TAG: record.key,
            "rnnlane.experiment": config.name,
            **({"mlflow.note.content": config.description} if config.description else {}),
            **describe_environment(),
            **config.tracking.tags,
        },
        class_names=class_names,
        predictor=PREDICTOR,
    )


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key.

    A mapping by class stays whole, because MLflow does not take every class name in a key.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" not in _WHOLE:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def close_abandoned_runs(uri: str) -> int:
    """Brings the store up to date with the runs of this machine whose drivers have died.

    Sends what is left in their outboxes, and gives those whose end was never logged their status:
    FINISHED where a result was written, FAILED where an error was, else KILLED. Of runs that have
    finished and are delivered by then, removes what is no longer needed.

    Returns:
        The number of records sent.
    """
    num_sent = 0
    is_away = False
    # A run of several seeds ends after them, as it does where its driver lives.
    for record in sorted(all_records(), key=lambda record: record.parent is None):
        # The driver is alive, or the disk is full or read-only: nothing to do now.
        with contextlib.suppress(JobError, ResourceError):
            try:
                num_sent += 0 if is_away else _send_rest(uri, record)
            except TrackingError:
                # Or the store does not know the run. One that is away is asked no more.
                is_away = not is_reachable(uri)
            if can_tidy(record.reread()):
                with record.locked(timeout_s=0.0, is_upkeep=True) as current:
                    tidy(current)
    return num_sent


def _send_rest(uri: str, record: RunRecord) -> int:
    """Sends a run's outbox, and its end if that was never logged; returns the records sent."""
    if record.is_closed and not has_records(record.outbox):
        return 0
    if not record.is_closed and record.tracking_uri != store_identity(uri):
        return 0
    # Held while it is sent: the end may be among the records on their way.
    with record.locked(timeout_s=0.0, is_upkeep=True) as current:
        sound = _without_damaged_outbox(current)
        num_sent = send_outbox(uri, sound.outbox)
        _close_abandoned(uri, sound)
        _note_delivery(sound.reread())
    return num_sent


def _note_delivery(record: RunRecord) -> None:
    """The result of a run whose outbox is empty by now says that everything was delivered."""
    if record.result is not None and not has_records(record.outbox):
        record.update(result={**record.result, "is_tracked": True})


def _without_damaged_outbox(record: RunRecord) -> RunRecord:
    """Moves a damaged outbox away. What waited in it is lost, so that the run is not finished."""
    damaged = set_aside_if_damaged(record.outbox)
    if damaged is None:
        return record
    logger.warning(
        "the outbox of the run %s is damaged and was moved to %s; continue the run with --resume "
        "to log again what the tracking store lacks",
        record.key,
        damaged,
    )
    state: RunState = "failed" if record.state == "finished" else record.state
    return record.update(state=state, result=None, has_inputs=False, is_closed=False)


def _close_abandoned(uri: str, record: RunRecord) -> None:
    if record.is_closed:
        return
    run_id = record.run_id or find_tagged(uri, RUN_KEY_TAG, record.key)
    if run_id is None:
        record.update(tracking_uri=None).discard_unstarted()
        return
    terminate_run(
        uri,
        run_id,
        _STATUS[record.state],
        reason="its driver died",
        log_folder=record.folder / LOG_FOLDER,
    )
    state: RunState = "killed" if record.state == "running" else record.state
    record.update(run_id=run_id, state=state, is_closed=True)
