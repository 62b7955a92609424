import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rnnlane.records.ablation import Ablation, Setting, paired_difference


@pytest.mark.parametrize("num_pairs", [2, 3, 10])
def test_the_interval_is_that_of_the_paired_t_test(num_pairs):
    random = np.random.default_rng(num_pairs)
    reference = random.normal(0.8, 0.01, num_pairs)
    values = reference + random.normal(0.004, 0.005, num_pairs)
    found = paired_difference(reference.tolist(), values.tolist())
    expected = stats.ttest_rel(values, reference)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx((values - reference).mean())
    assert found.standard_error == pytest.approx(stats.sem(values - reference))
    assert found.is_seen == (expected.pvalue < 0.05)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth, held = 0.01, 0
    for _ in range(1000):
        seeds = random.normal(0, 0.03, 3)
        values = 0.8 + truth + seeds + random.normal(0, 0.01, 3)
        found = paired_difference((0.8 + seeds).tolist(), values.tolist())
        held += found.low <= truth <= found.high
    assert 930 <= held <= 970


def test_a_seed_that_one_of_them_lacks_does_not_count():
    found = paired_difference([0.8, None, 0.7, 0.6], [0.9, 0.1, None, 0.8])
    assert (found.num_pairs, found.mean) == (2, pytest.approx(0.15))
    assert paired_difference([0.8, None], [0.9, 0.1]) is None


def test_equal_values_are_no_difference():
    found = paired_difference([0.8, 0.7], [0.8, 0.7])
    assert (found.mean, found.low, found.high, found.is_seen) == (0, 0, 0, False)


def test_equal_differences_do_not_say_how_much_they_vary():
    found = paired_difference([60 / 75, 61 / 75], [61 / 75, 62 / 75])
    assert found.mean == pytest.approx(1 / 75)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert (found.has_interval, found.is_seen) == (False, False)


def setting(label: str, *values: float | None, layers: int = 2, clips: bool = True) -> Setting:
    return Setting(label, {}, layers, clips, values, key="k")


def ablation(winner: Setting, *settings: Setting, **others: Any) -> Ablation:
    return Ablation(others.pop("is_larger_better", True), (1, 2, 3), winner, settings, **others)


WINNER = setting("winner", 0.80, 0.82, 0.81)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        # Within the noise: fewer layers before no clipping before the winner.
        ([setting("1", 0.80, 0.81, 0.82, layers=1)], "1"),
        ([setting("none", 0.80, 0.81, 0.82, clips=False)], "none"),
        (
            [
                setting("none", 0.81, 0.82, 0.80, clips=False),
                setting("1", 0.80, 0.81, 0.82, layers=1),
            ],
            "1",
        ),
        # Simpler, but worse by more than the noise, though t with 2 degrees sees no difference.
        ([setting("1", 0.79, 0.82, 0.80, layers=1)], "winner"),
        # Not simpler: the winner stays unless the other one is better by more than the noise.
        ([setting("3", 0.81, 0.81, 0.82, layers=3)], "winner"),
        ([setting("3", 0.84, 0.87, 0.85, layers=3)], "3"),
        ([setting("0.25", 0.81, 0.81, 0.82)], "winner"),
        # What did not finish with every seed is not chosen.
        ([setting("1", 0.9, 0.9, None, layers=1)], "winner"),
    ],
)
def test_the_simplest_setting_within_the_noise_of_the_best_is_recommended(others, chosen):
    assert ablation(WINNER, *others).recommended.label == chosen


def test_a_loss_is_better_where_it_is_smaller():
    lower = setting("3", 0.70, 0.72, 0.72, layers=3)
    found = ablation(WINNER, lower, is_larger_better=False)
    assert (found.verdict(lower), found.recommended.label) == ("better", "3")
    assert ablation(WINNER, lower).verdict(lower) == "worse"


def test_an_unfinished_winner_stays():
    winner = setting("winner", 0.8, None, None)
    other = setting("1", 0.9, 0.9, 0.9, layers=1)
    found = ablation(winner, other)
    assert (found.verdict(other), found.recommended.label) == ("not measured", "winner")


def test_values_that_differ_as_seeds_do_are_no_difference_seen():
    winner = setting("winner", 0.8774, 0.8811, 0.8786)
    without = setting("clip=none", 0.8790, 0.8802, 0.8779, clips=False)
    found = ablation(winner, without)
    assert found.verdict(without) == "no difference seen"
    plain = found.as_dict()
    (described,) = plain["settings"]
    assert described["low"] < 0 < described["high"]
    assert described["num_pairs"] == 3
    assert math.isclose(described["difference"], 0.0, abs_tol=1e-4)
    assert plain["recommended"] == "clip=none"


def test_recorded_values_with_an_effect_are_told_apart():
    """An LSTM under SGD on generated reviews, unclipped and clipped at 0.1 x mean."""
    winner = setting("winner", 0.7029, 0.7155, 0.7155, clips=False)
    clipped = setting("clip=0.1", 0.5272, 0.5188, 0.5105)
    found = ablation(winner, clipped)
    assert found.verdict(clipped) == "worse"
    assert found.recommended is winner


def test_equal_differences_of_all_seeds_recommend_the_simplest_and_are_plain_json():
    better = setting("k=1", 0.81, 0.83, 0.82, layers=3)
    found = ablation(WINNER, better)
    assert found.verdict(better) == "no difference seen"
    assert found.recommended is WINNER
    (plain,) = found.as_dict()["settings"]
    assert (plain["low"], plain["high"]) == (None, None)
    assert plain["difference"] == pytest.approx(0.01)
    json.dumps(found.as_dict(), allow_nan=False)
