from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from pydantic import TypeAdapter

from rnnlane.config.search import Space
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports import search_importance as evidence
from rnnlane.reports.search_figures import save_clip_and_layers, write_pictures

POLICY, NORM, MULTIPLE = "training.clip.policy", "training.clip.max_norm", "training.clip.of_mean"
RATE, LAYERS = "training.learning_rate", "model.num_layers"
SPACE = {
    POLICY: "choice(none, auto)",
    MULTIPLE: {"loguniform": (0.25, 8), "when": {POLICY: ("auto",)}},
    LAYERS: "randint(1, 3)",
    RATE: "loguniform(1e-4, 1e-2)",
}


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def trial(number: int, value: float | None, params: dict[str, Any], **others: Any) -> TrialRecord:
    history = () if value is None else ({"epoch": 1.0, "m": value, "grad_norm/mean": 2.0},)
    found = {"state": "finished", "history": history, "value": value, "best_epoch": 1, **others}
    return TrialRecord(number=number, params=params, **found)


def search(trials: list[TrialRecord], **others: Any) -> SearchRecord:
    known: dict[str, Any] = {"name": "s", "metric": "m", "is_larger_better": True, "space": SPACE}
    known |= {"algorithm": "optuna", "scheduler": "asha", "max_epochs": 4, **others}
    space = TypeAdapter(Space).validate_python(known.pop("space"))
    return SearchRecord(trials=tuple(trials), space=space, **known)


def clipped(multiples: list[float], **others: Any) -> SearchRecord:
    params = [{POLICY: "auto", MULTIPLE: multiple} for multiple in multiples]
    return search([trial(i, 0.5 + i / 100, p) for i, p in enumerate(params)], **others)


def many(num: int = 24) -> SearchRecord:
    """Trials whose value depends on the learning rate alone."""
    trials = []
    for i in range(num):
        params = {RATE: 10 ** -(2 + (i * 7 % num) / num * 2), LAYERS: 1 + i % 3, POLICY: "none"}
        if i % 2:
            params |= {POLICY: "auto", MULTIPLE: 2.0 ** (i % 7 - 2)}
        value = 0.9 - abs(math.log10(params[RATE]) + 3) / 5
        trials.append(trial(i, value, params, clip_norm=1.5 if i % 2 else None, ended_at=i + 1.0))
    return search(trials, best=3)


def test_few_multiples_are_a_column_each_after_none() -> None:
    few = clipped([2.0, 0.5, 2.0])
    few = replace(few, trials=(*few.trials, trial(3, 0.7, {POLICY: "none"})))
    groups = {group.label: [t.number for t in group.trials] for group in evidence.clip_groups(few)}
    assert groups == {"none": [3], "0.5 × mean": [1], "2 × mean": [0, 2]}
    assert next(iter(groups)) == "none"


def test_many_multiples_are_put_into_bins_of_equal_ratio_over_the_whole_range() -> None:
    groups = evidence.clip_groups(clipped([0.25, 0.3, 0.6, 1.1, 1.9, 3.0, 4.1, 8.0]))
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
        ({POLICY: "auto"}, 3.0, "1.5 × mean"),
        ({POLICY: "auto"}, None, "1 × mean"),
        ({MULTIPLE: 4.0}, 8.0, "4 × mean"),
        ({POLICY: "none", NORM: 3.0}, None, "none"),
    ],
)
def test_clip_setting_is_told_from_what_varies_or_else_what_was_in_force(
    params: dict[str, Any], clip_norm: float | None, label: str
) -> None:
    found = search([trial(0, 0.5, params, clip_norm=clip_norm, mean_norm=2.0)])
    assert [group.label for group in evidence.clip_groups(found)] == [label]


@pytest.mark.parametrize(("is_larger_better", "best"), [(True, 0.9), (False, 0.2)])
def test_a_cell_of_the_grid_holds_the_best_value_and_the_count(
    is_larger_better: bool, best: float
) -> None:
    params = {POLICY: "none", LAYERS: 2}
    trials = [trial(i, value, params) for i, value in enumerate([0.2, 0.9, math.nan, None])]
    trials += [trial(4, 0.5, {POLICY: "auto", MULTIPLE: 1.0, LAYERS: 1})]
    trials += [trial(5, 0.99, params, state="failed")]
    (grid,) = evidence.clip_layer_grids(search(trials, is_larger_better=is_larger_better))
    assert (grid.rows, grid.columns) == (("1", "2"), ("none", "1 × mean"))
    assert grid.counts.tolist() == [[0, 1], [2, 0]]
    assert grid.best[1, 0] == best
    assert math.isnan(grid.best[0, 0])


def test_there_is_a_grid_for_each_cell_that_varies() -> None:
    trials = [trial(i, 0.5, {"model.cell": c, LAYERS: 1}) for i, c in enumerate(("rnn", "lstm"))]
    assert [grid.title for grid in evidence.clip_layer_grids(search(trials))] == ["lstm", "rnn"]


def test_grid_is_not_drawn_where_neither_clip_nor_layers_vary(tmp_path: Path) -> None:
    found = search([trial(0, 0.5, {RATE: 1e-3})], space={RATE: SPACE[RATE]})
    assert save_clip_and_layers(found, tmp_path / "grid.png") is False
    assert "clip_and_layers.png" not in {p.name for p in write_pictures(found, tmp_path)}


def test_the_key_that_decides_is_the_most_important_and_twice_the_same() -> None:
    first = evidence.importances(many())
    assert first[0].key == RATE
    assert first[0].mean > 5 * max(0.0, first[1].mean)
    assert evidence.importances(many()) == first


def test_importance_is_told_of_four_trials_that_differ_or_more() -> None:
    trials = [trial(i, 0.5 + i / 10, {RATE: 10.0**-i}) for i in range(5)]
    assert evidence.importances(search(trials[:3])) == []
    assert evidence.importances(search(trials[:4])) != []
    assert evidence.importances(search([replace(t, value=0.5) for t in trials])) == []


@pytest.mark.parametrize(
    ("text", "value", "end"),
    [
        ("loguniform(1e-4, 1e-2)", 9e-3, "high"),
        ("loguniform(1e-4, 1e-2)", 1.1e-4, "low"),
        ("loguniform(1e-4, 1e-2)", 1e-3, None),
        ("uniform(0, 0.5)", 0.01, None),
        ({"uniform": (0, 0.5), "when": {LAYERS: (2, 3)}}, 0.49, "high"),
        ("randint(1, 3)", 3, "high"),
        ("randint(1, 3)", 1, None),
        ("steps(100, 400, 50)", 100, "low"),
        ("choice(32, 64, 128)", 64, None),
        ("choice(128, 32, 64)", 128, "high"),
        ("choice(32, 64)", 64, None),
        ("choice(rnn, lstm, gru)", "gru", None),
        ("choice(1, 2, lstm)", 2, None),
    ],
)
def test_edge_is_told_where_the_range_could_go_on(text: Any, value: Any, end: str | None) -> None:
    assert evidence.edge(search([], space={"k": text}), "k", value) == end


def test_scale_is_logarithmic_spaced_or_absent() -> None:
    found = search([trial(0, 1, {RATE: 1e-3, "c": True}), trial(1, 1, {RATE: 1e-2, "c": False})])
    assert evidence.scale(found, RATE).place(1e-3) == pytest.approx(0.5)
    assert [text for _, text in evidence.scale(found, "c").ticks()] == ["false", "true"]
    assert evidence.scale(found, RATE).place_in(trial(2, 1, {})) == evidence.ABSENT_PLACE


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0023, "2.3e-03"), (0.25, "0.25"), (12.345, "12.3"), (64, "64"), (True, "true"),
     (None, "null"), (4321.0, "4,321"), ("lstm", "lstm"), (0.0, "0")],
)  # fmt: skip
def test_values_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert evidence.shown(value) == text


PARAMS = {POLICY: "auto", MULTIPLE: 1.0, LAYERS: 2, RATE: 1e-3}


@pytest.mark.parametrize(
    "found",
    [
        search([]),
        search([trial(0, None, PARAMS, state="running")]),
        search([trial(0, None, PARAMS, state="failed", ended_at=5.0)]),
        search([trial(0, 0.8, PARAMS, ended_at=5.0)], best=0),
        search([trial(i, math.nan, PARAMS, state="pruned") for i in range(5)]),
        search([trial(i, 0.5, PARAMS, state="cut", clip_norm=2.0) for i in range(12)], best=0),
        search([trial(i, 0.5, {}) for i in range(5)], space={}),
        replace(many(), is_larger_better=False),
        search([trial(i, 10.0 ** (i * 3), {**PARAMS, RATE: 10.0**-i}) for i in range(12)],
               is_larger_better=False, best=0),
    ],
    ids=["none", "running", "failed", "one", "nan", "constant", "no space", "loss", "exploded"],
)  # fmt: skip
def test_any_search_is_drawn_without_a_warning(tmp_path: Path, found: SearchRecord) -> None:
    for path in write_pictures(found, tmp_path / "pictures"):
        assert matplotlib.image.imread(path).std() > 0.005


def test_a_whole_search_has_all_pictures(tmp_path: Path) -> None:
    assert [path.name for path in write_pictures(many(), tmp_path)] == [
        "best_value.png",
        "clip_and_layers.png",
        "gradient_norms.png",
        "importance.png",
        "parallel_coordinates.png",
        "learning_curves.png",
    ]
