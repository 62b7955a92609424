"""The trials of a search by clip setting and by number of layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.trials import best_of, format_value, measured, sorted_values, varied_keys

CELL, LAYERS = "model.cell", "model.num_layers"
CLIP = "training.clip"
CLIP_KEYS = CLIP_POLICY, CLIP_NORM, CLIP_MULTIPLE = tuple(
    f"{CLIP}.{name}" for name in ("policy", "max_norm", "of_mean")
)
_MAX_CLIP_COLUMNS = 6


@dataclass(frozen=True)
class Group:
    """Trials that share a setting.

    Attributes:
        label: the setting, such as ``none``, ``fixed 3`` or ``0.5–1 × mean``.
        trials: those with a value, by number; a bin of clip values may have none.
    """

    label: str
    trials: tuple[TrialRecord, ...]


def is_clip_varied(search: SearchRecord) -> bool:
    """Whether trials differ in how they clip."""
    return bool(set(CLIP_KEYS) & set(varied_keys(search)))


def clip_groups(search: SearchRecord) -> list[Group]:
    """Measured trials by clip setting: none, then fixed values, then multiples of the mean.

    Up to six different numbers are a group each; more are put into 4 to 6 bins of equal ratio.
    Empty if clipping is not varied.
    """
    if not is_clip_varied(search):
        return []
    settings = [(trial, *_clip_setting(trial)) for trial in measured(search)]
    unclipped = tuple(trial for trial, kind, _ in settings if kind == "none")
    groups = [Group("none", unclipped)] if unclipped else []
    for wanted, key, form in (
        ("fixed", CLIP_NORM, "fixed {}"),
        ("multiple", CLIP_MULTIPLE, "{} × mean"),
    ):
        members = [(trial, amount) for trial, kind, amount in settings if kind == wanted]
        variation = search.space.get(key)
        groups += _amount_groups(members, form, variation.loguniform if variation else None)
    return groups


def layer_groups(search: SearchRecord) -> list[Group]:
    """Measured trials by number of layers, fewest first; empty if that is not varied."""
    return _groups_by(LAYERS, search)


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
    everything = tuple(measured(search))
    rows, columns = (groups or [Group("as given", everything)] for groups in (layers, clips))
    panels = _groups_by(CELL, search) or [Group("", everything)]
    return [_grid(search, panel, rows, columns) for panel in panels]


def _grid(search: SearchRecord, panel: Group, rows: list[Group], columns: list[Group]) -> Grid:
    best = np.full((len(rows), len(columns)), math.nan)
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for (r, row), (c, column) in itertools.product(enumerate(rows), enumerate(columns)):
        inside = {t.number for t in row.trials} & {t.number for t in column.trials}
        shared = [trial for trial in panel.trials if trial.number in inside]
        best[r, c], counts[r, c] = best_of(search, shared), len(shared)
    row_labels, column_labels = (tuple(g.label for g in groups) for groups in (rows, columns))
    return Grid(panel.label, row_labels, column_labels, best, counts)


def _groups_by(key: str, search: SearchRecord) -> list[Group]:
    """Measured trials by their value of a key; empty if that is not varied."""
    if key not in varied_keys(search):
        return []
    trials = measured(search)
    values = sorted_values(trial.params.get(key, "n/a") for trial in trials)
    return [
        Group(str(value), tuple(t for t in trials if t.params.get(key, "n/a") == value))
        for value in values
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


def _amount_groups(
    members: Sequence[tuple[TrialRecord, float | None]],
    form: str,
    ends: tuple[float, float] | None,
) -> list[Group]:
    """Trials by amount, in bins between ``ends`` if there are many amounts; ``form`` labels them.

    A fixed value is unknown (None) as long as none was in force.
    """
    unknown = tuple(trial for trial, amount in members if amount is None)
    # Ratios of measured numbers that mean the same differ in their last digits.
    known = [(trial, float(f"{amount:.4g}")) for trial, amount in members if amount is not None]
    amounts = sorted({amount for _, amount in known})
    if len(amounts) <= _MAX_CLIP_COLUMNS:
        labels = [format_value(amount) for amount in amounts]
        bins = [amounts.index(amount) for _, amount in known]
    else:
        low, high = ends or (amounts[0], amounts[-1])
        num_bins = min(max(round(math.log2(high / low)), 4), _MAX_CLIP_COLUMNS)
        edges = np.geomspace(low, high, num_bins + 1)
        labels = [f"{start:.2g}–{end:.2g}" for start, end in itertools.pairwise(edges)]
        bins = np.digitize([amount for _, amount in known], edges[1:-1]).tolist()
    groups = [Group(form.format("?"), unknown)] if unknown else []
    for index, label in enumerate(labels):
        inside = [trial for (trial, _), at in zip(known, bins, strict=True) if at == index]
        groups.append(Group(form.format(label), tuple(inside)))
    return groups
