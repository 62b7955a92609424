"""What an ablation trains, what it keeps over a restart, and what came of it."""

from typing import Any

import pytest

from rnnlane.records.search import TrialRecord
from rnnlane.search.ablation import AblationPlan
from rnnlane.search.study import TrialStudy, open_ablation
from support.study import Killed, end_trial, experiment, fresh, killed_after

KEYS = {"model.num_layers": [1, 2, 3], "training.clip": ["none", 1]}


def plan_of(trial: TrialRecord, **search: Any) -> AblationPlan:
    return AblationPlan(experiment(ablation={"keys": KEYS, "seeds": 2}, **search), trial)


@pytest.fixture
def winner(tmp_path) -> TrialRecord:
    study, _ = fresh(tmp_path)
    found = TrialRecord(0, "finished", {"model.num_layers": 2, "training.clip.policy": "none"})
    end_trial(study, study.ask().number, [0.5])
    return found


def opened(tmp_path, plan: AblationPlan, **search: Any) -> TrialStudy:
    config = experiment(**search)
    return open_ablation(tmp_path / "trials.sqlite", config, key="s", wanted=plan.samples())


def run(study: TrialStudy, values: dict[str, float], state: str = "finished") -> list[str]:
    """Ends all that is left, each with the value of its label; returns what that was."""
    done = []
    while (spec := study.ask()) is not None:
        value = values.get(spec.sample.label, 0.5) + 0.01 * spec.sample.seed
        end_trial(study, spec.number, [value], state)
        done.append(f"{spec.sample.label} seed {spec.config.training.seed}")
    return done


def test_all_have_the_same_seeds_by_which_nothing_was_chosen(tmp_path, winner):
    study = opened(tmp_path, plan_of(winner))
    assert run(study, {}) == [
        *("winner seed 1", "num_layers=1 seed 1", "num_layers=3 seed 1", "clip=1 seed 1"),
        *("winner seed 2", "num_layers=1 seed 2", "num_layers=3 seed 2", "clip=1 seed 2"),
    ]
    assert plan_of(winner, repeats=3).seeds == (3, 4)


def test_no_seed_is_pruned_and_the_study_of_the_trials_stays_as_it_is(tmp_path, winner):
    trials, reopen = fresh(tmp_path)
    before = trials.records()
    study = opened(tmp_path, plan_of(winner))
    for value in (0.9, 0.1):
        spec = study.ask()
        record = {"epoch": 1.0, "val/accuracy": value, "val/loss": 1.0}
        assert not study.report(spec.number, [record])
    assert reopen().records() == before


def test_the_outcome_has_each_value_by_seed(tmp_path, winner):
    plan = plan_of(winner)
    study = opened(tmp_path, plan)
    assert not plan.outcome(study).is_complete
    run(study, {"winner": 0.7, "num_layers=3": 0.8})
    found = plan.outcome(study)
    assert found.winner.values == (pytest.approx(0.71), pytest.approx(0.72))
    three = found.of_key("model.num_layers")[1]
    assert (three.label, three.num_layers, three.is_clipped) == ("num_layers=3", 3, False)
    assert found.difference(three).mean == pytest.approx(0.1)
    assert found.of_key("training.clip")[0].is_clipped
    assert found.is_complete
    assert found.own == {"model.num_layers": "2", "training.clip": "none"}


def test_what_failed_has_no_value_but_its_reason(tmp_path, winner):
    plan = plan_of(winner)
    study = opened(tmp_path, plan)
    spec = study.ask()
    study.mark_ended(spec.number, "failed", reason="the loss was not finite")
    study.tell(spec.number)
    run(study, {})
    found = plan.outcome(study)
    assert found.winner.values == (None, pytest.approx(0.52))
    assert found.winner.reasons == ("the loss was not finite",)
    assert found.is_complete


@pytest.mark.parametrize("num_writes", [0, 3, 5])
def test_a_killed_ablation_goes_on_where_it_was(tmp_path, winner, num_writes):
    plan = plan_of(winner)
    study = opened(tmp_path, plan)
    first, second = study.ask(), study.ask()
    end_trial(study, first.number, [0.6])
    with killed_after(num_writes), pytest.raises(Killed):
        run(study, {})
    again = opened(tmp_path, plan)
    assert again.ask() == second
    end_trial(again, second.number, [0.6])
    assert len(run(again, {})) == 6
    assert plan.outcome(again).is_complete
    assert opened(tmp_path, plan).num_remaining == 0


def test_what_the_time_budget_cut_is_trained_again(tmp_path, winner):
    plan = plan_of(winner)
    study = opened(tmp_path, plan)
    end_trial(study, study.ask().number, [0.6])
    end_trial(study, study.ask().number, [0.1], "cut")
    assert not plan.outcome(study).is_complete
    again = opened(tmp_path, plan)
    assert "num_layers=1 seed 1" in run(again, {"num_layers=1": 0.7})
    found = plan.outcome(again)
    assert found.of_key("model.num_layers")[0].values[0] == pytest.approx(0.71)
    assert found.is_complete


def test_a_new_winner_of_a_longer_search_is_trained_too(tmp_path, winner):
    run(opened(tmp_path, plan_of(winner)), {})
    other = TrialRecord(1, "finished", {"model.num_layers": 3, "training.clip.policy": "none"})
    plan = plan_of(other)
    study = opened(tmp_path, plan)
    # The former winner with 3 layers is this one.
    assert run(study, {}) == ["clip=1 seed 1", "clip=1 seed 2"]
    found = plan.outcome(study)
    assert [one.label for one in found.settings] == ["num_layers=1", "num_layers=2", "clip=1"]
    assert found.is_complete
