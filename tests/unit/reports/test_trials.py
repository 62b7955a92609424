from __future__ import annotations

import math
from typing import Any

import pytest

from rnnlane.reports.trials import (
    best_of,
    format_value,
    learning_curve,
    mean_grad_norm,
    measured,
    sorted_values,
    trial_name,
    varied_keys,
)
from support.search_records import LAYERS, POLICY, RATE, search, trial


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0023, "2.3e-03"),
        (0.25, "0.25"),
        (12.345, "12.3"),
        (64, "64"),
        (True, "true"),
        (None, "null"),
        (4321.0, "4,321"),
        ("lstm", "lstm"),
        (0.0, "0"),
    ],
)
def test_values_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("seed", "state", "expected"),
    [
        (None, "running", "#12 layers=2 hidden=64 lr=2.3e-03 cell=lstm"),
        (None, "finished", "#12 layers=2 hidden=64 lr=2.3e-03 cell=lstm"),
        (None, "pruned", "#12 pruned layers=2 hidden=64 lr=2.3e-03 cell=lstm"),
        (3, "failed", "seed 3 failed layers=2 hidden=64 lr=2.3e-03 cell=lstm"),
    ],
)
def test_a_trial_s_name_begins_with_what_tells_it_from_others(
    seed: int | None, state: Any, expected: str
) -> None:
    sizes = {"model.num_layers": 2, "model.hidden_size": 64}
    params = {**sizes, "training.learning_rate": 0.00234, "model.cell": "lstm"}
    assert trial_name(12, params, seed=seed, state=state) == expected


def test_values_are_sorted_numbers_first_and_once_each() -> None:
    assert sorted_values(["b", 10, 2, None, "b", 2, "a"]) == [2, 10, None, "a", "b"]
    assert [repr(value) for value in sorted_values([True, 1])] == ["1", "True"]


def test_varied_keys_are_those_of_the_space_and_then_any_others() -> None:
    params = {"z": 1, RATE: 0.1, "a": 2}
    record = search([trial(0, 0.5, params)], space={RATE: "uniform(0, 1)", LAYERS: "choice(1)"})
    assert varied_keys(record) == [RATE, LAYERS, "a", "z"]


def test_measured_trials_have_a_finite_value_and_did_not_fail() -> None:
    values = [(3, 0.5), (2, math.nan), (1, None), (0, 0.4)]
    trials = [trial(number, value) for number, value in values]
    trials.append(trial(4, 0.9, state="failed"))
    assert [one.number for one in measured(search(trials))] == [0, 3]


@pytest.mark.parametrize(("is_larger_better", "best"), [(True, 0.9), (False, 0.2)])
def test_best_is_the_largest_or_for_a_loss_the_smallest(
    is_larger_better: bool, best: float
) -> None:
    record = search([trial(0, 0.2), trial(1, 0.9)], is_larger_better=is_larger_better)
    assert best_of(record, record.trials) == best
    assert math.isnan(best_of(record, []))


def test_what_is_not_finite_is_left_out_of_curves_and_norms() -> None:
    history = (
        {"epoch": 1.0, "val/accuracy": 0.5, "grad_norm/mean": math.inf},
        {"epoch": 2.0, "val/accuracy": math.nan, "grad_norm/mean": 1.0},
        {"epoch": 3.0, "grad_norm/mean": 3.0},
    )
    one = trial(0, 0.5, {POLICY: "none"}, history=history)
    assert learning_curve(search([one]), one) == [(1, 0.5)]
    assert mean_grad_norm(one) == 2.0
    assert mean_grad_norm(trial(1, None)) is None
