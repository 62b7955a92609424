"""What the trials of a search say about its keys: which matter, where a range ends, how clip works.

A trial's *value* is compared throughout, not its score: values all come from one seed, so that a
finalist, whose score is a mean over several, does not fall behind trials that were lucky once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rnnlane.records.search import SearchRecord, TrialRecord

CELL, LAYERS = "model.cell", "model.num_layers"
CLIP_POLICY, CLIP_NORM, CLIP_MULTIPLE = (
    f"training.clip.{name}" for name in ("policy", "max_norm", "of_mean")
)
CLIP_KEYS = (CLIP_POLICY, CLIP_NORM, CLIP_MULTIPLE)
MIN_TRIALS, FEW_TRIALS = 4, 20
# Below the range of every scale, so that a tree can tell a key that did not apply from any value.
ABSENT_PLACE = -0.18
_MAX_CLIP_COLUMNS = 6


def shown(value: Any) -> str:
    """A sampled value as people write it: three digits, small numbers as 2.3e-03."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if 0 < abs(value) < 0.01 or abs(value) >= 1e6:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


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


def values_of(trials: Iterable[TrialRecord]) -> list[float]:
    """The values of trials, which must have one."""
    return [value_of(trial) for trial in trials]


def value_of(trial: TrialRecord) -> float:
    """The value of a trial that has one."""
    assert trial.value is not None
    return trial.value


def curve(search: SearchRecord, trial: TrialRecord) -> list[tuple[int, float]]:
    """Epochs with a finite value of the metric, and the values."""
    points = [(int(entry["epoch"]), entry.get(search.metric, math.nan)) for entry in trial.history]
    return [(epoch, value) for epoch, value in points if math.isfinite(value)]


def mean_norm(trial: TrialRecord) -> float | None:
    """Gradient norm before clipping, the mean of the epochs' means; None if it is not known."""
    norms = [entry.get("grad_norm/mean", math.nan) for entry in trial.history]
    norms = [norm for norm in norms if math.isfinite(norm) and norm > 0]
    return math.fsum(norms) / len(norms) if norms else None


def best_of(search: SearchRecord, values: Iterable[float]) -> float:
    """The best of some values; NaN if there are none."""
    return (max if search.is_larger_better else min)(values, default=math.nan)


@dataclass(frozen=True)
class Scale:
    """Where the values of one key stand between 0 and 1.

    Attributes:
        key: the dotted key.
        low: value at 0; of a scale with categories 0.
        high: value at 1; of a scale with categories their number less one.
        is_log: even steps are even ratios.
        categories: evenly spaced values, each as text; empty for a scale of numbers.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    categories: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """From 0 to 1, or beyond for a number outside the range; 0.5 if there is one value."""
        number = float(self.categories.index(str(value)) if self.categories else value)
        low, high = self.low, self.high
        if self.is_log:
            low, high, number = math.log(low), math.log(high), math.log(number)
        return 0.5 if high == low else (number - low) / (high - low)

    def place_in(self, trial: TrialRecord) -> float:
        """The place of a trial's value; ``ABSENT_PLACE`` if the key did not apply."""
        return self.place(trial.params[self.key]) if self.key in trial.params else ABSENT_PLACE

    def ticks(self) -> list[tuple[float, str]]:
        """Places to mark and what to write there."""
        if self.categories:
            return [(self.place(text), _shown_text(text)) for text in self.categories]
        if self.low == self.high:
            return [(0.5, shown(self.low))]
        spaced = np.geomspace if self.is_log else np.linspace
        return [(self.place(x), shown(float(x))) for x in spaced(self.low, self.high, 5)]


def scale(search: SearchRecord, key: str) -> Scale:
    """The scale of a varied key: that of its distribution, widened to all values that occurred."""
    kind, ends = _distribution(search, key)
    values = [trial.params[key] for trial in search.trials if key in trial.params]
    if kind in {"randint", "steps"} and len({str(value) for value in values}) <= 6:
        kind = "choice"
    if kind == "choice" or not values or not all(_is_number(value) for value in values):
        texts = sorted({str(value) for value in values}, key=_category_order)
        return Scale(key, 0.0, max(len(texts) - 1.0, 0.0), categories=tuple(texts))
    bounds = [*(float(value) for value in values), *(ends or ())]
    is_log = kind == "loguniform" and min(bounds) > 0
    return Scale(key, min(bounds), max(bounds), is_log)


@dataclass(frozen=True)
class Importance:
    """How much worse a forest foretells the values of trials when one key is shuffled.

    Attributes:
        key: the dotted key.
        mean: growth of the squared error on trials that the forest has not seen, as a share of the
            values' variance; 0 or less for a key that makes no difference.
        std: over the parts that the trials are divided into.
    """

    key: str
    mean: float
    std: float


def importances(search: SearchRecord) -> list[Importance]:
    """Permutation importance (Breiman, 2001) of each key that took several values, largest first.

    A key that did not apply counts as a value of its own. Measured on held-out trials, because on
    those it was fitted to a forest finds importance in noise. Deterministic. Empty if fewer than
    ``MIN_TRIALS`` trials have a value, or none of the keys varied, or all values are equal.
    """
    trials = measured(search)
    target = np.array(values_of(trials))
    scales = [scale(search, key) for key in varied_keys(search)]
    columns = {s.key: [s.place_in(trial) for trial in trials] for s in scales}
    keys = [key for key, column in columns.items() if len(set(column)) > 1]
    if len(trials) < MIN_TRIALS or not keys or np.ptp(target) == 0:
        return []
    losses = _shuffling_losses(np.array([columns[key] for key in keys]).T, target)
    found = zip(keys, losses.mean(axis=0), losses.std(axis=0), strict=True)
    return sorted(
        (Importance(key, float(mean), float(std)) for key, mean, std in found),
        key=lambda importance: -importance.mean,
    )


def _shuffling_losses(
    features: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """For each part of the trials and each feature the growth of the error; [parts, features]."""
    # These take a second to import, which no other part of a report should wait for.
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    losses = []
    folds = KFold(min(5, len(target) // 2), shuffle=True, random_state=0)
    # Standardised, because the squares of a loss that exploded overflow.
    target = (target - target.mean()) / max(target.std(), np.finfo(np.float64).tiny)
    for train, held_out in folds.split(features):
        forest = RandomForestRegressor(50, min_samples_leaf=2, random_state=0)
        forest.fit(features[train], target[train])
        shuffled = permutation_importance(
            forest,
            features[held_out],
            target[held_out],
            scoring="neg_mean_squared_error",
            n_repeats=5,
            random_state=0,
        )
        losses.append(shuffled.importances_mean)
    return np.array(losses)


def edge(search: SearchRecord, key: str, value: Any) -> Literal["low", "high"] | None:
    """The end of its range that a value stands at, if the range could go on there.

    A tenth of a continuous range counts as its end. Two values alone have no inside; counts cannot
    go below 1, nor other numbers to 0 or less.
    """
    kind, ends = _distribution(search, key)
    if ends is None or not _is_number(value) or ends[0] == ends[1]:
        return None
    kind_scale = Scale(key, *ends, is_log=kind == "loguniform" and ends[0] > 0)
    margin = 0.1 if kind in {"uniform", "loguniform"} else 1e-9
    place = kind_scale.place(value)
    if place >= 1 - margin:
        return "high"
    is_lowest = ends[0] <= (1 if isinstance(value, int) else 0)
    return "low" if place <= margin and not is_lowest else None


@dataclass(frozen=True)
class Group:
    """Trials that share a setting.

    Attributes:
        label: the setting, such as ``none``, ``fixed 3`` or ``0.5–1 × mean``.
        trials: those with a value, by number.
    """

    label: str
    trials: tuple[TrialRecord, ...]


def clip_groups(search: SearchRecord) -> list[Group]:
    """Measured trials by clip setting: none, then fixed values, then multiples of the mean.

    Up to six different numbers are a group each; more are put into 4 to 6 bins of equal ratio.
    Empty if clipping is not varied.
    """
    if not set(CLIP_KEYS) & set(varied_keys(search)):
        return []
    settings = [(trial, *_clip_setting(trial)) for trial in measured(search)]
    unclipped = tuple(trial for trial, kind, _ in settings if kind == "none")
    groups = [Group("none", unclipped)] if unclipped else []
    for wanted, key, form in (
        ("fixed", CLIP_NORM, "fixed {}"),
        ("multiple", CLIP_MULTIPLE, "{} × mean"),
    ):
        members = [(trial, amount) for trial, kind, amount in settings if kind == wanted]
        kind, ends = _distribution(search, key)
        groups += _binned(members, form, ends if kind == "loguniform" else None)
    return groups


def layer_groups(search: SearchRecord) -> list[Group]:
    """Measured trials by number of layers, fewest first; empty if that is not varied."""
    if LAYERS not in varied_keys(search):
        return []
    return _grouped(measured(search), LAYERS)


@dataclass(frozen=True)
class Grid:
    """Clip settings against layers.

    Attributes:
        title: the cell, or "" where that is not varied.
        rows: numbers of layers, R of them.
        columns: clip settings, C of them.
        best: float [R, C], best value; NaN where no trial has one.
        counts: int [R, C], trials with a value.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    best: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def clip_layer_grids(search: SearchRecord) -> list[Grid]:
    """A grid for each cell that is tried; empty if neither clip nor layers vary.

    Best values, not means: a mean would mark down a setting for its trials that were cut early.
    """
    clips, layers = clip_groups(search), layer_groups(search)
    if not clips and not layers:
        return []
    trials = tuple(measured(search))
    columns, rows = clips or [Group("as given", trials)], layers or [Group("as given", trials)]
    panels = [Group("", trials)]
    if CELL in varied_keys(search):
        panels = _grouped(trials, CELL)
    return [_grid(search, panel, rows, columns) for panel in panels]


def _grid(search: SearchRecord, panel: Group, rows: list[Group], columns: list[Group]) -> Grid:
    best = np.full((len(rows), len(columns)), math.nan)
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    inside = {trial.number for trial in panel.trials}
    for r, row in enumerate(rows):
        in_row = inside & {trial.number for trial in row.trials}
        for c, column in enumerate(columns):
            values = values_of(trial for trial in column.trials if trial.number in in_row)
            best[r, c], counts[r, c] = best_of(search, values), len(values)
    labels = [tuple(group.label for group in groups) for groups in (rows, columns)]
    return Grid(panel.label, labels[0], labels[1], best, counts)


def _grouped(trials: Sequence[TrialRecord], key: str) -> list[Group]:
    texts = sorted({str(trial.params.get(key, "n/a")) for trial in trials}, key=_category_order)
    return [
        Group(text, tuple(t for t in trials if str(t.params.get(key, "n/a")) == text))
        for text in texts
    ]


def _clip_setting(trial: TrialRecord) -> tuple[str, float | None]:
    """How a trial clipped, and the clip value or the multiple of the mean."""
    params = trial.params
    policy = params.get(CLIP_POLICY)
    if policy == "auto" or (policy is None and CLIP_MULTIPLE in params):
        if CLIP_MULTIPLE in params:
            return "multiple", float(params[CLIP_MULTIPLE])
        if trial.clip_norm is None or not trial.mean_norm:
            return "multiple", 1.0
        return "multiple", trial.clip_norm / trial.mean_norm
    amount = params.get(CLIP_NORM, trial.clip_norm)
    if policy == "none" or (policy is None and amount is None):
        return "none", None
    return "fixed", None if amount is None else float(amount)


def _binned(
    members: Sequence[tuple[TrialRecord, float | None]],
    form: str,
    ends: tuple[float, float] | None,
) -> list[Group]:
    unknown = [trial for trial, amount in members if amount is None]
    groups = [Group(form.format("?"), tuple(unknown))] if unknown else []
    # Ratios of measured numbers that mean the same differ in their last digits.
    known = [(trial, float(f"{amount:.4g}")) for trial, amount in members if amount is not None]
    amounts = sorted({amount for _, amount in known})
    if len(amounts) <= _MAX_CLIP_COLUMNS:
        return groups + [
            Group(form.format(shown(a)), tuple(t for t, amount in known if amount == a))
            for a in amounts
        ]
    low, high = (min(amounts), max(amounts)) if ends is None else ends
    num_bins = min(max(round(math.log2(high / low)), 4), _MAX_CLIP_COLUMNS)
    edges = np.geomspace(low, high, num_bins + 1)
    bins = np.digitize([amount for _, amount in known], edges[1:-1])
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        label = form.format(f"{start:.2g}–{end:.2g}")
        inside = [trial for (trial, _), found in zip(known, bins, strict=True) if found == index]
        groups.append(Group(label, tuple(inside)))
    return groups


def _distribution(search: SearchRecord, key: str) -> tuple[str, tuple[float, float] | None]:
    """The kind of a key's distribution and its ends; no ends where they are not numbers."""
    if key not in search.space:
        return "", None
    kind, arguments = search.space[key].distribution, search.space[key].arguments
    ends = arguments if kind == "choice" else arguments[:2]
    if not all(_is_number(end) for end in ends):
        return kind, None
    numbers = sorted({float(end) for end in ends})
    has_inside = len(numbers) > 2 or kind != "choice"
    return kind, (numbers[0], numbers[-1]) if has_inside else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _category_order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _shown_text(text: str) -> str:
    special = {"True": "true", "False": "false", "None": "null"}
    return special.get(text) or text
