"""Runs the trials of a book on Ray Tune: Tune has the processes, the book has the decisions."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from rnnlane.errors import RnnlaneError, first_line
from rnnlane.ray_cluster.connect import worker_resources
from rnnlane.ray_cluster.internals import tune_trial_error
from rnnlane.records.search import TrialRecord, TrialState
from rnnlane.search.study import Ticket, TrialBook
from rnnlane.search.trial_worker import TrialOrder, run_trial

_TUNE_SETTINGS = {
    # Ctrl-C is ours to handle; Tune's handler would go on until every trial has been stopped.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The book is the memory; Tune's own snapshots would grow with every trial.
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


@dataclass(frozen=True)
class TrialPlaces:
    """Where trials run.

    Attributes:
        num_workers: of a trial; with 1 processes are shared between trials.
        cpus_per_worker: that Ray sets aside.
        gpus_per_worker: the same; may be a fraction.
        max_concurrent: trials at once.
        max_retries: times a failed trial goes on from its checkpoint.
    """

    num_workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    max_concurrent: int
    max_retries: int


class TrialListener:
    """Is told of the trials, on the thread that calls :func:`run_trials`."""

    def started(self, ticket: Ticket) -> None:
        """A trial was handed to Ray Tune, for the first time or after a resume."""

    def progressed(self, ticket: Ticket, record: TrialRecord) -> None:
        """A trial has new epochs."""

    def ended(self, ticket: Ticket, record: TrialRecord) -> None:
        """A trial will not go on."""

    def noticed(self, text: str) -> None:
        """Something that a person should know."""


def run_trials(
    book: TrialBook,
    *,
    places: TrialPlaces,
    datasets: dict[str, Any],
    order: Callable[[Ticket], TrialOrder],
    deadline: float,
    scratch: Path,
    listener: TrialListener,
) -> None:
    """Runs what is left of a book; Ray must be connected.

    Args:
        book: gives the trials and takes their epochs.
        places: where they run.
        datasets: references to TrainingData, by name.
        order: what a trial is told to do.
        deadline: when running trials are cut, at the end of their epoch; of time.monotonic().
        scratch: folder for Tune's own files.
        listener: is told of every trial.
    """
    if book.num_left == 0 or time.monotonic() >= deadline:
        return
    os.environ.update(_TUNE_SETTINGS)
    desk = _Desk(
        book,
        order=order,
        listener=listener,
        max_live=places.max_concurrent,
        max_returns=places.max_retries,
        deadline=deadline,
    )
    is_shared = places.num_workers == 1
    # A trial with workers of its own only waits for them; but Tune refuses to set aside nothing.
    resources: dict[str, float] = {"memory": 1}
    if is_shared:
        resources = worker_resources(places.cpus_per_worker, places.gpus_per_worker)
    trainable = tune.with_resources(tune.with_parameters(run_trial, datasets=datasets), resources)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_Searcher(desk),
            scheduler=_Scheduler(desk),
            # The book says when there are no more.
            num_samples=-1,
            reuse_actors=is_shared,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch.absolute()),
            failure_config=tune.FailureConfig(max_failures=places.max_retries),
            verbose=0,
        ),
    )
    # It looks for the result files of loggers that are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    # It names trials by ids that nobody else knows; the listener is told of those that failed.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    tuner.fit()


class _Desk:
    """Between Ray Tune's trial ids and the book's tickets."""

    def __init__(
        self,
        book: TrialBook,
        *,
        order: Callable[[Ticket], TrialOrder],
        listener: TrialListener,
        max_live: int,
        max_returns: int,
        deadline: float,
    ):
        self._book = book
        self._order = order
        self._listener = listener
        self._max_live = max_live
        self._max_returns = max_returns
        self._deadline = deadline
        self._live: dict[str, Ticket] = {}
        self._returned: list[Ticket] = []
        self._num_returns: Counter[int] = Counter()
        self._errors: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher and scheduler into snapshots that nobody reads.
        return {}

    def issue(self, trial_id: str) -> dict[str, str] | str | None:
        """Tune's config of the next trial; None for not now."""
        if len(self._live) >= self._max_live:
            # Values are drawn no earlier than needed: they may depend on trials still running.
            return None
        while not self._is_late():
            try:
                ticket = self._returned.pop() if self._returned else self._book.issue()
            except RnnlaneError as error:
                self._listener.noticed(f"a trial was left out: {error}")
                continue
            if ticket is None:
                break
            self._live[trial_id] = ticket
            self._listener.started(ticket)
            return self._order(ticket).to_setting()
        return str(Searcher.FINISHED)

    def take(self, trial_id: str, history: Sequence[Mapping[str, float]]) -> bool:
        """Notes the epochs of a report; returns whether the trial is to stop."""
        ticket = self._live.get(trial_id)
        if ticket is None:
            return True
        is_pruned = self._book.add_epochs(ticket.number, history)
        self._listener.progressed(ticket, self._book.record(ticket.number))
        if is_pruned:
            self.end(trial_id, "pruned")
        elif self._is_late() and len(history) < ticket.config.training.epochs:
            self.end(trial_id, "cut", reason="the time budget was used up")
        return trial_id not in self._live

    def take_back(self, trial_id: str) -> None:
        """Lets another trial of Tune's have the ticket, unless that was done too often."""
        ticket = self._live.get(trial_id)
        if ticket is not None and self._num_returns[ticket.number] < self._max_returns:
            self._num_returns[ticket.number] += 1
            self._returned.append(self._live.pop(trial_id))

    def note_error(self, trial_id: str, reason: str) -> None:
        """Remembers why a trial failed, should it not go on."""
        self._errors[trial_id] = reason

    def fail(self, trial_id: str) -> None:
        """Notes that a trial failed for good."""
        self.end(trial_id, "failed", reason=self._errors.get(trial_id, ""))

    def end(self, trial_id: str, state: TrialState, *, reason: str = "") -> None:
        """Notes the end of a trial, once."""
        ticket = self._live.pop(trial_id, None)
        if ticket is None:
            return
        # In this order a driver that dies in between ends the trial again when it resumes.
        self._listener.ended(ticket, self._book.settle(ticket.number, state, reason=reason))
        self._book.close(ticket.number)

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline


class _Searcher(Searcher):
    """Hands out the book's trials."""

    def __init__(self, desk: _Desk):
        super().__init__()
        self._desk = desk

    def suggest(self, trial_id: str) -> Any:
        """See Searcher."""
        return self._desk.issue(trial_id)

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002 (given by name)
        error: bool = False,
    ) -> None:
        """Tune says only here that a failed trial will not be tried again."""
        if error:
            self._desk.fail(trial_id)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save: the book is on the disk."""

    def save(self, checkpoint_path: str) -> None:
        """See save_to_dir."""

    def restore(self, checkpoint_path: str) -> None:
        """See save_to_dir."""


class _Scheduler(FIFOScheduler):
    """Tells the book of results and ends, and Tune of the book's verdicts."""

    # One report, one verdict.
    _supports_buffered_results = False

    def __init__(self, desk: _Desk):
        super().__init__()  # type: ignore[no-untyped-call]
        self._desk = desk

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result.get("done") or "history" not in result:
            return str(TrialScheduler.CONTINUE)
        stop = self._desk.take(trial.trial_id, result["history"])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, _controller: Any, trial: Any, _result: dict[str, Any]) -> None:
        self._desk.end(trial.trial_id, "finished")

    def on_trial_error(self, _controller: Any, trial: Any) -> None:
        # Also called for a trial that will go on from its checkpoint.
        self._desk.note_error(trial.trial_id, _reason(trial))
        if trial.status == Trial.PENDING:
            # It was given a process that had died since its last trial. Tune gives such a trial up,
            # however many failures it may have.
            self._desk.take_back(trial.trial_id)


def _reason(trial: Any) -> str:
    """What went wrong last, in one line."""
    error = tune_trial_error(trial)
    if error is None:
        return "it could not be started"
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RayActorError):
        return "its process was lost"
    return first_line(cause)[:500]
