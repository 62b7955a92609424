"""What is known of a search and its trials: plain values that pictures, reports and runs are of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

TrialState = Literal["running", "finished", "pruned", "cut", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One sample of a search.

    Attributes:
        number: from 0, in the order of sampling.
        state: finished, or pruned by the scheduler, or cut by the time budget, or failed.
        params: the sampled values by dotted key; a key that did not apply is absent.
        history: one record an epoch, as training gives them.
        value: the search's metric at the best epoch; None where no epoch ended.
        best_epoch: that epoch, from 1.
        clip_norm: the clip value in force; None where gradients were not clipped, or before it is
            known.
        mean_norm: mean gradient norm of the calibration that the clip value came from; else of the
            epochs.
        clipped_fraction: share of the steps that were clipped, in [0, 1].
        started_at: in seconds since 1970.
        ended_at: the same; None while it runs.
        key: names the trial in the tracking store.
        seed_values: for a finalist, the metric with each seed, its own first; else empty.
        reason: why it failed or was cut short; "" otherwise.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    history: tuple[Mapping[str, float], ...] = ()
    value: float | None = None
    best_epoch: int | None = None
    clip_norm: float | None = None
    mean_norm: float | None = None
    clipped_fraction: float = 0.0
    started_at: float = 0.0
    ended_at: float | None = None
    key: str = ""
    seed_values: tuple[float, ...] = ()
    reason: str = ""

    @property
    def num_epochs(self) -> int:
        """Epochs trained."""
        return len(self.history)

    @property
    def score(self) -> float | None:
        """What the trial counts for: the mean over its seeds, else its value."""
        if self.seed_values:
            return math.fsum(self.seed_values) / len(self.seed_values)
        return self.value


@dataclass(frozen=True)
class SearchRecord:
    """A search with its trials.

    Attributes:
        name: of the experiment.
        metric: what counts, such as ``val/accuracy``.
        is_larger_better: which way.
        space: for each varied key, in the experiment's words, what it may be.
        algorithm: grid, random or optuna.
        scheduler: none, asha or median.
        max_epochs: epochs of a trial that is not cut short.
        num_planned: trials that there will be, if the time budget lets them.
        time_budget_s: seconds that the search may take; None for no limit.
        trials: in order of their numbers; the extra seeds of finalists are not trials of their
            own here but ``seed_values``.
        best: number of the trial that won; None where every trial failed.
        started_at: in seconds since 1970.
        elapsed_s: time spent searching, over all attempts.
        epochs_trained: over all trials and seeds.
    """

    name: str
    metric: str
    is_larger_better: bool
    space: Mapping[str, str]
    algorithm: str
    scheduler: str
    max_epochs: int
    num_planned: int = 0
    time_budget_s: float | None = None
    trials: tuple[TrialRecord, ...] = field(default=(), repr=False)
    best: int | None = None
    started_at: float = 0.0
    elapsed_s: float = 0.0
    epochs_trained: int = 0

    @property
    def winner(self) -> TrialRecord | None:
        """The trial that won."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def num_ended(self) -> int:
        """Trials that will not go on."""
        return sum(trial.ended_at is not None for trial in self.trials)

    @property
    def left_s(self) -> float | None:
        """Seconds until all trials are done at the pace so far; None before one has ended."""
        if self.num_ended == 0:
            return None
        left_s = self.elapsed_s / self.num_ended * max(0, self.num_planned - self.num_ended)
        if self.time_budget_s is not None:
            left_s = min(left_s, self.time_budget_s - self.elapsed_s)
        return max(0.0, left_s)

    def with_best(self) -> SearchRecord:
        """The same with the best of :meth:`ranked` as its best."""
        ranked = self.ranked()
        return replace(self, best=ranked[0].number if ranked else None)

    def ranked(self) -> list[TrialRecord]:
        """Trials with a value, the best first; finalists, which were measured more often, lead."""
        sign = -1 if self.is_larger_better else 1
        measured = [
            trial
            for trial in self.trials
            if trial.score is not None and math.isfinite(trial.score) and trial.state != "failed"
        ]
        return sorted(
            measured,
            key=lambda trial: (
                not trial.seed_values,
                sign * (trial.score if trial.score is not None else math.nan),
                trial.number,
            ),
        )

    def count(self, *states: TrialState) -> int:
        """Number of trials in these states."""
        return sum(trial.state in states for trial in self.trials)
