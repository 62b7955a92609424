from __future__ import annotations

import math
from typing import Any

import pytest

from rnnlane.records.search import SearchRecord
from rnnlane.reports.clip_layers import clip_groups, clip_layer_grids, layer_groups
from support.search_records import CELL, LAYERS, MULTIPLE, NORM, POLICY, RATE, search, trial


def clipped(multiples: list[float]) -> SearchRecord:
    params = [{POLICY: "auto", MULTIPLE: multiple} for multiple in multiples]
    return search([trial(i, 0.5 + i / 100, p) for i, p in enumerate(params)])


def test_few_multiples_are_a_column_each_after_none() -> None:
    few = clipped([2.0, 0.5, 2.0])
    record = search([*few.trials, trial(3, 0.7, {POLICY: "none"})])
    groups = {group.label: [t.number for t in group.trials] for group in clip_groups(record)}
    assert groups == {"none": [3], "0.5 × mean": [1], "2 × mean": [0, 2]}
    assert next(iter(groups)) == "none"


def test_many_multiples_are_put_into_bins_of_equal_ratio_over_the_whole_range() -> None:
    groups = clip_groups(clipped([0.25, 0.3, 0.6, 1.1, 1.9, 3.0, 4.1, 8.0]))
    assert [(group.label, len(group.trials)) for group in groups] == [
        ("0.25–0.5 × mean", 2),
        ("0.5–1 × mean", 1),
        ("1–2 × mean", 2),
        ("2–4 × mean", 1),
        ("4–8 × mean", 2),
    ]


@pytest.mark.parametrize(
    ("params", "clip_norm", "label"),
    [
        ({NORM: 3.0}, 3.0, "fixed 3"),
        ({POLICY: "fixed"}, 5.0, "fixed 5"),
        ({POLICY: "fixed"}, None, "fixed ?"),
        ({POLICY: "auto"}, 3.0, "1.5 × mean"),
        ({POLICY: "auto"}, None, "1 × mean"),
        ({MULTIPLE: 4.0}, 8.0, "4 × mean"),
        ({POLICY: "none", NORM: 3.0}, None, "none"),
    ],
)
def test_clip_setting_follows_from_what_varies_or_else_what_was_in_force(
    params: dict[str, Any], clip_norm: float | None, label: str
) -> None:
    record = search([trial(0, 0.5, params, clip_norm=clip_norm, mean_norm=2.0)])
    assert [group.label for group in clip_groups(record)] == [label]


def test_layers_are_in_the_order_of_numbers_and_absent_ones_last() -> None:
    trials = [trial(i, 0.5, {LAYERS: layers}) for i, layers in enumerate((10, 2, 2))]
    groups = layer_groups(search([*trials, trial(3, 0.5)]))
    assert [(g.label, len(g.trials)) for g in groups] == [("2", 2), ("10", 1), ("n/a", 1)]


@pytest.mark.parametrize(("is_larger_better", "best"), [(True, 0.9), (False, 0.2)])
def test_a_cell_of_the_grid_holds_the_best_value_and_the_count(
    is_larger_better: bool, best: float
) -> None:
    params = {POLICY: "none", LAYERS: 2}
    trials = [trial(i, value, params) for i, value in enumerate([0.2, 0.9, math.nan, None])]
    trials += [trial(4, 0.5, {POLICY: "auto", MULTIPLE: 1.0, LAYERS: 1})]
    trials += [trial(5, 0.99, params, state="failed")]
    (grid,) = clip_layer_grids(search(trials, is_larger_better=is_larger_better))
    assert (grid.rows, grid.columns) == (("1", "2"), ("none", "1 × mean"))
    assert grid.counts.tolist() == [[0, 1], [2, 0]]
    assert grid.best[1, 0] == best
    assert math.isnan(grid.best[0, 0])


def test_there_is_a_grid_for_each_cell_that_varies() -> None:
    trials = [trial(i, 0.5, {CELL: cell, LAYERS: 1}) for i, cell in enumerate(("rnn", "lstm"))]
    assert [grid.title for grid in clip_layer_grids(search(trials))] == ["lstm", "rnn"]


def test_there_is_no_grid_where_neither_clip_nor_layers_vary() -> None:
    record = search([trial(0, 0.5, {RATE: 1e-3})], space={RATE: "loguniform(1e-4, 1e-2)"})
    assert clip_layer_grids(record) == []
