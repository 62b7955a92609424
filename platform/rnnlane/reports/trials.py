"""The keys, trials and values of a search, as its figures and its report use them.

Trials are compared by their *value* throughout, not by their score: values all come from one seed,
so that a finalist, whose score is a mean over several, does not rank below trials that had one
lucky seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rnnlane.records.search import SearchRecord, TrialRecord, TrialState

MAX_NAME_CHARS = 200


def format_value(value: Any) -> str:
    """A sampled value for people: three digits, small numbers as 2.3e-03, true, false and null."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if 0 < abs(value) < 0.01 or abs(value) >= 1e6:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def trial_name(
    number: int,
    params: Mapping[str, Any],
    *,
    seed: int | None = None,
    state: TrialState = "running",
) -> str:
    """What a trial is called in MLflow: what differs comes first, because lists cut names off.

    For example ``#12 lr=2.3e-03 cell=lstm``, ``#12 pruned lr=...``, or, of a finalist with another
    seed, ``seed 3 lr=...``.
    """
    how = _how(state)
    values = [f"{_short_key(key)}={format_value(value)}" for key, value in params.items()]
    first = f"#{number}" if seed is None else f"seed {seed}"
    return " ".join([f"{first}{how}", *values])[:MAX_NAME_CHARS]


def ablation_name(label: str, seed: int | None, *, state: TrialState = "running") -> str:
    """What a training of an ablation is called in MLflow: ``num_layers=3 seed 1``."""
    return f"{label}{_how(state)} seed {seed}"[:MAX_NAME_CHARS]


def _how(state: TrialState) -> str:
    return f" {state}" if state in {"pruned", "cut", "failed"} else ""


def _short_key(key: str) -> str:
    """The last part of a dotted key, shorter where that says the same."""
    name = key.rpartition(".")[2]
    return "lr" if name == "learning_rate" else name.removeprefix("num_").removesuffix("_size")


def is_number(value: Any) -> bool:
    """Whether a sampled value is a finite number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sorted_values(values: Iterable[Any]) -> list[Any]:
    """The distinct values, numbers first and in order, then all others by their text."""
    distinct = {repr(value): value for value in values}.values()
    return sorted(distinct, key=lambda v: (0, v, "") if is_number(v) else (1, 0.0, str(v)))


def varied_keys(search: SearchRecord) -> list[str]:
    """Keys of the space in its order, then any others that the trials have."""
    others = {key for trial in search.trials for key in trial.params} - set(search.space)
    return [*search.space, *sorted(others)]


def measured(search: SearchRecord) -> list[TrialRecord]:
    """Trials that have a finite value and did not fail, by number."""
    return [
        trial
        for trial in sorted(search.trials, key=lambda trial: trial.number)
        if trial.state != "failed" and trial.value is not None and math.isfinite(trial.value)
    ]


def value_of(trial: TrialRecord) -> float:
    """The value of a trial that has one."""
    assert trial.value is not None
    return trial.value


def values_of(trials: Iterable[TrialRecord]) -> list[float]:
    """The values of trials that have one."""
    return [value_of(trial) for trial in trials]


def best_of(search: SearchRecord, trials: Iterable[TrialRecord]) -> float:
    """The best value of trials that have one; NaN if there are no trials."""
    return (max if search.is_larger_better else min)(values_of(trials), default=math.nan)


def learning_curve(search: SearchRecord, trial: TrialRecord) -> list[tuple[int, float]]:
    """Epochs with a finite value of the metric, and the values."""
    points = [(int(entry["epoch"]), entry.get(search.metric, math.nan)) for entry in trial.history]
    return [(epoch, value) for epoch, value in points if math.isfinite(value)]


def mean_grad_norm(trial: TrialRecord) -> float | None:
    """Gradient norm before clipping, the mean of the epochs' means; None if it is not known."""
    norms = [entry.get("grad_norm/mean", math.nan) for entry in trial.history]
    norms = [norm for norm in norms if math.isfinite(norm) and norm > 0]
    return math.fsum(norms) / len(norms) if norms else None
