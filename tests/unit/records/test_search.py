import math
from dataclasses import replace

from rnnlane.records.search import SearchRecord, TrialRecord


def trial(number: int, value: float | None, *, state: str = "finished", **others) -> TrialRecord:
    return TrialRecord(number=number, state=state, params={}, value=value, **others)


def search(*trials: TrialRecord, is_larger_better: bool = True, **others) -> SearchRecord:
    return SearchRecord(
        "x", "m", is_larger_better, {}, "random", "asha", 4, trials=trials, **others
    )


def test_a_trial_is_ranked_by_the_mean_over_its_seeds():
    assert trial(0, 0.9).score == 0.9
    assert trial(0, 0.9, seed_values=(0.9, 0.5, 0.4)).score == 0.6


def test_trials_are_ranked_by_score_and_number_without_those_that_have_none():
    trials = (
        trial(0, 0.5),
        trial(1, 0.7, state="pruned"),
        trial(2, 0.9, state="failed"),
        trial(3, None),
        trial(4, math.inf),
        trial(5, 0.7),
    )
    assert [each.number for each in search(*trials).ranked()] == [1, 5, 0]
    assert [each.number for each in search(*trials, is_larger_better=False).ranked()] == [0, 1, 5]


def test_a_trial_with_several_seeds_ranks_before_all_others():
    found = search(trial(0, 0.9), trial(1, 0.6, seed_values=(0.6, 0.5))).with_best()
    assert found.winner is not None
    assert (found.best, found.winner.number) == (1, 1)
    assert search(trial(0, None)).with_best().winner is None


def test_the_time_left_follows_the_pace_of_ended_trials_within_the_budget():
    running = search(trial(0, 0.5), num_planned=4, elapsed_s=10.0)
    assert running.left_s is None
    ended = trial(0, 0.5, ended_at=1.0)
    assert replace(running, trials=(ended,)).left_s == 30.0
    assert replace(running, trials=(ended,), time_budget_s=25.0).left_s == 15.0
    assert replace(running, trials=(ended,), time_budget_s=5.0).left_s == 0.0
    assert replace(running, trials=(ended,) * 5).left_s == 0.0


def test_trials_are_counted_by_state():
    found = search(trial(0, 1), trial(1, 1, state="pruned"), trial(2, 1, state="cut"))
    assert (found.count("pruned"), found.count("pruned", "cut"), found.count()) == (1, 2, 0)
