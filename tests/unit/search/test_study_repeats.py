"""The study of the finalists that are trained again with other seeds."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.search.study import TrialStudy, open_repeats
from support.study import Killed, end_trial, experiment, fresh, killed_after, record_of


def finalists_of(study: TrialStudy, *values: float) -> list[TrialRecord]:
    for value in values:
        end_trial(study, study.ask().number, [value])
    return sorted(study.records(), key=lambda trial: -trial.value)


def repeats_of(tmp_path: Path, finalists: list[TrialRecord], **search: Any) -> TrialStudy:
    config = experiment(repeats=3, **search)
    return open_repeats(tmp_path / "trials.sqlite", config, key="s", finalists=finalists)


def test_finalists_are_repeated_with_the_seeds_after_their_own(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    finalists = finalists_of(study, 0.5, 0.7)
    seeds = repeats_of(tmp_path, finalists)
    assert seeds.num_remaining == 4
    specs = [seeds.ask() for _ in range(4)]
    assert [spec.config.training.seed for spec in specs] == [1, 2, 1, 2]
    assert [spec.config.seed for spec in specs] == [0, 0, 0, 0]
    numbers = [1, 1, 0, 0]
    assert [spec.sample.params for spec in specs] == [
        study.record(number).params for number in numbers
    ]


def test_seeds_are_never_pruned_and_their_values_decide_the_winner(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    finalists = finalists_of(study, 0.70, 0.71, 0.72)[:2]
    seeds = repeats_of(tmp_path, finalists)
    for value in (0.5, 0.6, 0.9, 0.8):
        spec = seeds.ask()
        assert not seeds.report(spec.number, [record_of(value, 1)])
        seeds.mark_ended(spec.number, "finished")
        seeds.tell(spec.number)
    trials = seeds.with_seed_values(study.records())
    assert [trial.seed_values for trial in trials] == [(), (0.71, 0.9, 0.8), (0.72, 0.5, 0.6)]
    found = SearchRecord("x", "val/accuracy", True, {}, "random", "asha", 4, trials=trials)
    assert found.with_best().best == 1
    assert [trial.number for trial in found.ranked()] == [1, 2, 0]


def test_a_failed_or_unfinished_seed_does_not_count(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    seeds = repeats_of(tmp_path, finalists_of(study, 0.5, 0.4))
    end_trial(seeds, seeds.ask().number, [math.nan])
    end_trial(seeds, seeds.ask().number, [0.6])
    end_trial(seeds, seeds.ask().number, [0.9], state="failed")
    seeds.report(seeds.ask().number, [record_of(0.9, 1)])
    trials = seeds.with_seed_values(study.records())
    assert [trial.seed_values for trial in trials] == [(0.5, 0.6), ()]


def test_a_seed_that_the_time_budget_cut_is_trained_again(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    finalists = finalists_of(study, 0.5)
    seeds = repeats_of(tmp_path, finalists)
    end_trial(seeds, seeds.ask().number, [0.6])
    end_trial(seeds, seeds.ask().number, [0.1], "cut")
    assert not seeds.is_complete
    again = repeats_of(tmp_path, finalists)
    assert (again.num_remaining, again.is_complete) == (1, False)
    end_trial(again, again.ask().number, [0.7])
    assert again.is_complete
    assert repeats_of(tmp_path, finalists).is_complete
    assert again.with_seed_values(study.records())[0].seed_values == (0.5, 0.6, 0.7)


def test_seeds_go_on_after_a_restart(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    finalists = finalists_of(study, 0.5, 0.4)
    seeds = repeats_of(tmp_path, finalists)
    first, second = seeds.ask(), seeds.ask()
    end_trial(seeds, first.number, [0.6])
    again = repeats_of(tmp_path, finalists)
    assert again.num_remaining == 3
    assert again.ask() == second
    with killed_after(1), pytest.raises(Killed):
        again.ask()
    third = repeats_of(tmp_path, finalists)
    assert [third.ask().config.training.seed for _ in range(3)] == [2, 1, 2]
    assert third.ask() is None


def test_new_finalists_of_a_longer_search_get_their_seeds_too(tmp_path):
    study, _ = fresh(tmp_path, repeats=3)
    finalists = finalists_of(study, 0.5)
    seeds = repeats_of(tmp_path, finalists)
    while (spec := seeds.ask()) is not None:
        end_trial(seeds, spec.number, [0.5])
    finalists = finalists_of(study, 0.6)
    longer = repeats_of(tmp_path, finalists)
    assert longer.num_remaining == 2
    while (spec := longer.ask()) is not None:
        assert spec.sample.params == study.record(1).params
        end_trial(longer, spec.number, [0.6])
    trials = longer.with_seed_values(study.records())
    assert [trial.seed_values for trial in trials] == [(0.5, 0.5, 0.5), (0.6, 0.6, 0.6)]


def test_two_finalists_with_the_same_values_are_repeated_once(tmp_path):
    study, _ = fresh(tmp_path, space={"model.cell": "choice(lstm)"}, repeats=3)
    (finalist,) = finalists_of(study, 0.5)
    # As in a search of a version that sampled values twice.
    finalists = [finalist, replace(finalist, number=1)]
    seeds = repeats_of(tmp_path, finalists, space={"model.cell": "choice(lstm)"})
    assert seeds.num_remaining == 2
