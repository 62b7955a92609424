"""Passes the trials of a study to an executor, and their epochs and ends back to the study.

Independent of Ray: the executor has trial ids of its own, and one trial of the study may have
several of them, one after the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnnlane.errors import RnnlaneError
from rnnlane.records.events import RunEvents
from rnnlane.records.search import TrialRecord, TrialState
from rnnlane.records.system_use import SystemUse
from rnnlane.search.study import TrialSpec, TrialStudy

if TYPE_CHECKING:
    from rnnlane.search.trial_worker import TrialTask


class TrialEvents(RunEvents):
    """Events of the trials of a search, on the thread that runs it; by default ignored."""

    def trial_started(self, spec: TrialSpec) -> None:
        """A trial was given to the executor, for the first time or after a resume."""

    def trial_progressed(self, spec: TrialSpec, record: TrialRecord) -> None:
        """A trial has new epochs."""

    def trial_ended(self, spec: TrialSpec, record: TrialRecord) -> None:
        """A trial has ended; the end is made final when this returns."""


class TrialDispatcher:
    """Maps the executor's trial ids to trials of a study."""

    def __init__(
        self,
        study: TrialStudy,
        *,
        make_task: Callable[[TrialSpec], TrialTask],
        events: TrialEvents,
        max_running: int,
        max_requeues: int,
        deadline: float,
    ):
        """Starts no trial yet.

        Args:
            study: gives the trials and stores their epochs.
            make_task: describes a trial to the process that trains it.
            events: gets every event of the trials.
            max_running: trials at once.
            max_requeues: times that one trial may be requeued.
            deadline: when running trials are cut, at the end of their epoch; of time.monotonic().
        """
        self._study = study
        self._make_task = make_task
        self._events = events
        self._max_running = max_running
        self._max_requeues = max_requeues
        self._deadline = deadline
        self._running: dict[str, TrialSpec] = {}
        self._requeued: list[TrialSpec] = []
        self._num_requeues: Counter[int] = Counter()
        self._errors: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Ray Tune pickles its searcher and scheduler into snapshots that nobody reads.
        return {}

    @property
    def is_full(self) -> bool:
        """Whether ``max_running`` trials are running.

        Ask for a trial only when it can run: its values may depend on trials still running.
        """
        return len(self._running) >= self._max_running

    def ask(self, trial_id: str) -> TrialTask | None:
        """The next trial to run, under this id from now on; None if there are no more."""
        while not self._is_past_deadline():
            try:
                spec = self._requeued.pop() if self._requeued else self._study.ask()
            except RnnlaneError as error:
                self._events.note(f"a trial was left out: {error}")
                continue
            if spec is None:
                break
            self._running[trial_id] = spec
            self._events.trial_started(spec)
            return self._make_task(spec)
        return None

    def report(self, trial_id: str, history: Sequence[Mapping[str, float]]) -> bool:
        """Stores the epochs of a trial; returns whether it must stop."""
        spec = self._running.get(trial_id)
        if spec is None:
            return True
        is_pruned = self._study.report(spec.number, history)
        self._events.trial_progressed(spec, self._study.record(spec.number))
        if is_pruned:
            self.end(trial_id, "pruned")
        elif self._is_past_deadline() and len(history) < spec.config.training.epochs:
            self.end(trial_id, "cut", reason="the time budget was used up")
        return trial_id not in self._running

    def pass_on(self, use: SystemUse) -> None:
        """Passes on what a trial's process measured of its machine and device."""
        self._events.system_use(use)

    def requeue(self, trial_id: str) -> None:
        """Frees a trial to run under another id, unless it was requeued too often."""
        spec = self._running.get(trial_id)
        if spec is not None and self._num_requeues[spec.number] < self._max_requeues:
            self._num_requeues[spec.number] += 1
            self._requeued.append(self._running.pop(trial_id))

    def note_error(self, trial_id: str, reason: str) -> None:
        """Remembers why a trial failed, in case it is not tried again."""
        self._errors[trial_id] = reason

    def fail(self, trial_id: str) -> None:
        """Ends a trial that failed and is not tried again."""
        self.end(trial_id, "failed", reason=self._errors.get(trial_id, ""))

    def end(self, trial_id: str, state: TrialState, *, reason: str = "") -> None:
        """Ends a trial; nothing happens if it has ended already."""
        spec = self._running.pop(trial_id, None)
        if spec is None:
            return
        # In this order: if the driver dies in between, the resumed search ends the trial again.
        record = self._study.mark_ended(spec.number, state, reason=reason)
        self._events.trial_ended(spec, record)
        self._study.tell(spec.number)

    def _is_past_deadline(self) -> bool:
        return time.monotonic() >= self._deadline
