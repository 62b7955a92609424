"""A search in MLflow: a run with a child run for each trial, all through one outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import redact
from rnnlane.tracking.datasets import DatasetInfo, as_contents
from rnnlane.tracking.delivery import REASON_TAG, trial_address
from rnnlane.tracking.history import HistoryLog
from rnnlane.tracking.links import Pages
from rnnlane.tracking.outbox import RecordKind
from rnnlane.tracking.run import (
    MlflowTracker,
    ParamValue,
    RunSpec,
    RunStatus,
    as_texts,
    start_run,
)


class SearchTracker:
    """The run of a search and those of its trials. No call waits for the store, or fails while it
    is away.

    The methods for trials must be called from one thread. A trial is named by a key, any text that
    is unique in the search; its run has the key as the tag ``rnnlane.trial_key``. A trial has one
    run, also after a repeated call, a resumed search or a killed process. The times of a run are
    those of the calls.

    Attributes:
        parent: the search's own run.
    """

    def __init__(self, parent: MlflowTracker, *, tags: Mapping[str, str]):
        """Continues the search of an earlier process if ``parent`` was reopened.

        Args:
            parent: a run that is RUNNING.
            tags: of each trial.
        """
        self.parent = parent
        self._sender = parent.sender
        self._destination = parent.sender.destination
        self._tags = dict(tags)
        self._opened: set[str] = set()
        # Includes the trials that an earlier process left behind: they end with the search.
        self._running = set(self._destination.trial_ids(parent.run_id, only_running=True))
        self._logs: dict[str, HistoryLog] = {}

    @property
    def run_id(self) -> str:
        """Id of the search's own run."""
        return self.parent.run_id

    @property
    def tracking_uri(self) -> str:
        """Address of the store; may contain a password."""
        return self.parent.tracking_uri

    @property
    def pages(self) -> Pages:
        """MLflow's pages of the search's own run."""
        return self.parent.pages

    def log_artifacts(self, folder: Path) -> None:
        """Logs the files of a folder to the search's own run."""
        self.parent.log_artifacts(folder)

    def log_datasets(self, datasets: Sequence[DatasetInfo]) -> None:
        """Logs what the trials read to the search's own run."""
        self.parent.log_datasets(datasets)

    def open_trial(
        self,
        key: str,
        *,
        name: str,
        params: Mapping[str, ParamValue],
        tags: Mapping[str, str],
        datasets: Sequence[DatasetInfo] = (),
    ) -> None:
        """Creates the run of a trial, or sets its existing run to RUNNING.

        Does nothing for a trial that is open. The reason of an earlier end is removed.

        Args:
            key: names the trial in the search.
            name: shown in MLflow; an existing run keeps its own.
            params: flat; logged as text, cut to 6,000 characters. Those logged before stay.
            tags: added to those of the tracking section; they replace existing ones.
            datasets: what the trial reads.
        """
        if key in self._opened:
            return
        self._opened.add(key)
        self._running.add(key)
        content = {
            "name": redact(name),
            "params": as_texts(params),
            "tags": as_texts({**self._tags, **tags}),
            "datasets": as_contents(datasets),
        }
        self._write(key, "create", content)

    def log_trial(
        self, key: str, history: Sequence[Mapping[str, float]], best_epoch: int | None = None
    ) -> None:
        """Logs what the run does not have yet, from this or an earlier process.

        Args:
            key: of a trial that was opened.
            history: the whole trial so far, see :meth:`MlflowTracker.log_history`.
            best_epoch: the number of the best epoch so far.
        """
        log = self._logs.setdefault(key, HistoryLog())
        for kind, content in log.new_records(history, best_epoch):
            self._write(key, kind, content)

    def tag_trial(self, key: str, tags: Mapping[str, str]) -> None:
        """Sets or replaces tags of a trial that was opened before; it may have ended."""
        if tags:
            self._write(key, "tags", as_texts(tags))

    def close_trial(self, key: str, status: RunStatus, *, reason: str | None = None) -> None:
        """Ends a trial that is open, or that an earlier process left RUNNING; else does nothing.

        Args:
            key: of the trial.
            status: how it ended.
            reason: why, for a person to read; becomes the tag ``rnnlane.reason``.
        """
        if key not in self._running:
            return
        self._opened.discard(key)
        self._running.discard(key)
        if reason is not None:
            self.tag_trial(key, {REASON_TAG: reason})
        self._write(key, "finish", {"status": status})

    def trial_ids(self) -> dict[str, str]:
        """MLflow's run id by key, of the trials whose runs are in the store by now.

        After a :meth:`finish` that returned True, those are all trials.
        """
        return self._destination.trial_ids(self.parent.run_id)

    def finish(self, status: RunStatus, *, reason: str | None = None) -> bool:
        """Ends the search like :meth:`MlflowTracker.finish`; trials still open become KILLED."""
        for key in sorted(self._running):
            self.close_trial(key, "KILLED", reason=reason or "the search ended")
        return self.parent.finish(status, reason=reason)

    def _write(self, key: str, kind: RecordKind, content: Mapping[str, object]) -> None:
        self._sender.write(kind, content, run_id=trial_address(self.parent.run_id, key))


def start_search(
    config: TrackingConfig, spec: RunSpec, *, outbox: Path, resume_run_id: str | None = None
) -> SearchTracker:
    """Starts or reopens the run of a search.

    Arguments and errors are those of :func:`rnnlane.tracking.run.start_run`.
    """
    parent = start_run(config, spec, outbox=outbox, resume_run_id=resume_run_id)
    return SearchTracker(parent, tags=config.tags)
