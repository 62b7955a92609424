"""A search in MLflow: one run with a child run for each trial, all through one outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnlane.config.experiment import TrackingConfig
from rnnlane.errors import redact
from rnnlane.tracking.delivery import REASON_TAG, MlflowDestination, trial_address
from rnnlane.tracking.outbox import Kind
from rnnlane.tracking.run import (
    MlflowTracker,
    ParamValue,
    Point,
    RunSpec,
    as_texts,
    new_values,
    open_run,
)
from rnnlane.tracking.sender import Sender
from rnnlane.tracking.tracker import RunStatus


class SearchTracker:
    """The runs of a search and its trials. No call waits for the store, or fails while it is away.

    What is said of trials must come from one thread. A trial is named by a key, any text that is
    the search's own for it; its run has the key as the tag ``rnnlane.trial_key``, and is created
    once, whatever is asked twice, resumed or killed. Its times are those of the calls here.

    Attributes:
        parent: the search's own run.
    """

    def __init__(
        self,
        parent: MlflowTracker,
        *,
        sender: Sender,
        destination: MlflowDestination,
        tags: Mapping[str, str],
    ):
        """Takes over from an earlier process where the destination knows trials of the parent.

        Args:
            parent: a run that is RUNNING.
            sender: of the parent.
            destination: where the sender sends.
            tags: of each trial.
        """
        self.parent = parent
        self._sender = sender
        self._destination = destination
        self._tags = dict(tags)
        self._opened: set[str] = set()
        # Also those that an earlier process left behind, so that they end with the search.
        self._running = set(destination.trial_ids(parent.run_id, only_running=True))
        self._logged: dict[str, set[Point]] = {}

    @property
    def run_id(self) -> str:
        """Id of the search's own run."""
        return self.parent.run_id

    @property
    def tracking_uri(self) -> str:
        """Address of the store; may contain a password."""
        return self.parent.tracking_uri

    def log_artifacts(self, folder: Path) -> None:
        """Logs the files of a folder to the search's own run."""
        self.parent.log_artifacts(folder)

    def open_trial(
        self, key: str, *, name: str, params: Mapping[str, ParamValue], tags: Mapping[str, str]
    ) -> None:
        """Creates the run of a trial, or makes the one it has RUNNING again.

        Does nothing for a trial that is open. The reason of an earlier end is removed.

        Args:
            key: names the trial in the search.
            name: shown in MLflow; an existing run keeps its own.
            params: flat; logged as text, cut to 6,000 characters. Those logged before stay.
            tags: added to those of the tracking section; these replace what was there.
        """
        if key in self._opened:
            return
        self._opened.add(key)
        self._running.add(key)
        content = {
            "name": redact(name),
            "params": as_texts(params),
            "tags": as_texts({**self._tags, **tags}),
        }
        self._write(key, "create", content)

    def log_trial(self, key: str, history: Sequence[Mapping[str, float]]) -> None:
        """Logs what the run does not have yet, by whichever process.

        Args:
            key: of a trial that was opened.
            history: the whole trial so far, as :meth:`Tracker.log_history` takes it.
        """
        logged = self._logged.setdefault(key, set())
        for step, values in new_values(history, logged):
            self._write(key, "metrics", {"step": step, "values": values})

    def tag_trial(self, key: str, tags: Mapping[str, str]) -> None:
        """Sets or replaces tags of a trial that was opened at some time; it may have ended."""
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

        After :meth:`finish` that is all of them, if it returned True.
        """
        return self._destination.trial_ids(self.parent.run_id)

    def finish(self, status: RunStatus, *, reason: str | None = None) -> bool:
        """Ends the search as :meth:`Tracker.finish` does; trials that still run become KILLED."""
        for key in sorted(self._running):
            self.close_trial(key, "KILLED", reason=reason or "the search ended")
        return self.parent.finish(status, reason=reason)

    def _write(self, key: str, kind: Kind, content: Mapping[str, object]) -> None:
        self._sender.write(kind, content, run_id=trial_address(self.parent.run_id, key))


def start_search(
    config: TrackingConfig, spec: RunSpec, *, outbox: Path, resume_run_id: str | None = None
) -> SearchTracker:
    """Starts the run of a search, or reopens one; the arguments are those of ``start_run``.

    Raises:
        ConfigError: see :func:`rnnlane.tracking.run.start_run`.
        TrackingError: see there.
    """
    parent, sender, destination = open_run(config, spec, outbox=outbox, resume_run_id=resume_run_id)
    return SearchTracker(parent, sender=sender, destination=destination, tags=config.tags)
