"""A search and its trials as plain values, for reports, the tracker and the progress display."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rnnlane.config.search import Space
from rnnlane.records.ablation import Ablation

TrialState = Literal["running", "finished", "pruned", "cut", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a search.

    Attributes:
        number: from 0, in the order of sampling.
        state: running, finished, pruned by the scheduler, cut by the time budget, or failed.
        params: the sampled values by dotted key; a key that did not apply is absent.
        history: training's records, one for each epoch.
        value: the search's metric at the best epoch; None without an epoch of finite value.
        best_epoch: that epoch, from 1.
        clip_norm: the clip value used; None if gradients were not clipped, or before it is known.
        mean_norm: mean gradient norm in the calibration of the clip value; without one, in the
            epochs.
        clipped_fraction: share of the steps that were clipped, in [0, 1].
        started_at: in seconds since 1970.
        ended_at: the same; None while it runs.
        key: identifies the trial in the tracking store.
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
        """What trials are ranked by: the mean over its seeds, else its value."""
        if self.seed_values:
            return math.fsum(self.seed_values) / len(self.seed_values)
        return self.value


@dataclass(frozen=True)
class SearchRecord:
    """A search with its trials.

    Attributes:
        name: of the experiment.
        metric: what trials are compared by, such as ``val/accuracy``.
        is_larger_better: whether a larger value of the metric is better.
        space: the distribution of each varied key; ``str()`` gives the experiment's notation.
        algorithm: grid, random or optuna.
        scheduler: none, asha or median.
        max_epochs: epochs of a trial that is not cut short.
        num_planned: trials that the search runs if its time budget suffices.
        has_all_seeds: whether the time budget left out no training of a finalist with another seed.
        time_budget_s: seconds that the search may take; None for no limit.
        trials: by number; repeats of finalists are not among them, but in ``seed_values``.
        best: number of the trial that won; None if every trial failed.
        started_at: in seconds since 1970.
        elapsed_s: time spent searching, over all attempts.
        epochs_trained: over all trials, seeds and the ablation.
        afterwards: what is under way once all trials have ended, for people: finalists with other
            seeds, then the ablation; empty before and without.
        ablation: the winner with one setting changed at a time; None before and without.
    """

    name: str
    metric: str
    is_larger_better: bool
    space: Space
    algorithm: str
    scheduler: str
    max_epochs: int
    num_planned: int = 0
    has_all_seeds: bool = True
    time_budget_s: float | None = None
    trials: tuple[TrialRecord, ...] = field(default=(), repr=False)
    best: int | None = None
    started_at: float = 0.0
    elapsed_s: float = 0.0
    epochs_trained: int = 0
    afterwards: str = ""
    ablation: Ablation | None = None

    @property
    def winner(self) -> TrialRecord | None:
        """The trial that won."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def num_ended(self) -> int:
        """Trials that have ended."""
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
        """A copy whose ``best`` is the first of :meth:`ranked`."""
        ranked = self.ranked()
        return replace(self, best=ranked[0].number if ranked else None)

    def ranked(self) -> list[TrialRecord]:
        """Trials with a finite score, best first; those with several seeds before all others."""
        sign = -1 if self.is_larger_better else 1
        scores = [
            (not trial.seed_values, sign * trial.score, trial.number, trial)
            for trial in self.trials
            if trial.score is not None and math.isfinite(trial.score) and trial.state != "failed"
        ]
        return [trial for *_, trial in sorted(scores, key=lambda score: score[:3])]

    def count(self, *states: TrialState) -> int:
        """Number of trials in these states."""
        return sum(trial.state in states for trial in self.trials)
