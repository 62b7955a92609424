import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config.search import SearchConfig
from rnnlane.search.pruning import is_rung, should_prune

values = st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, math.nan])
curves = st.lists(values, max_size=10)


def config(**values: Any) -> SearchConfig:
    space = {"model.hidden_size": "choice(32)"}
    return SearchConfig.model_validate({"space": space, **values})


def asha_by_hand(search: SearchConfig, curve: list, others: list[list]) -> bool:
    """The rule as the paper tells it: sort the rung and look whether the trial is in its top."""
    rungs = [search.grace_epochs * search.reduction_factor**power for power in range(10)]
    epoch = len(curve)
    if epoch >= search.grace_epochs and math.isnan(curve[-1]):
        return True
    if epoch not in rungs:
        return False
    rung = [other[epoch - 1] for other in others if len(other) >= epoch]
    rung = [-math.inf if math.isnan(value) else value for value in [*rung, curve[-1]]]
    num_promoted = max(1, len(rung) // search.reduction_factor)
    return curve[-1] < sorted(rung, reverse=True)[num_promoted - 1]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(values, min_size=1, max_size=4),
    st.lists(st.lists(values, max_size=4), max_size=12),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_asha_decides_as_the_sorted_rung_does(curve, others, grace_epochs, reduction_factor):
    search = config(grace_epochs=grace_epochs, reduction_factor=reduction_factor)
    expected = asha_by_hand(search, curve, others)
    assert should_prune(search, curve, others, is_larger_better=True) == expected


@settings(deadline=None)
@given(curves.filter(len), st.lists(curves, max_size=12), st.sampled_from(["asha", "median"]))
def test_a_loss_is_pruned_as_its_negative_would_be(curve, others, scheduler):
    search = config(scheduler=scheduler)
    as_loss = [[-value for value in other] for other in others]
    assert should_prune(
        search, [-value for value in curve], as_loss, is_larger_better=False
    ) == should_prune(search, curve, others, is_larger_better=True)


@settings(deadline=None)
@given(curves, st.lists(curves, max_size=12), st.sampled_from(["asha", "median", "none"]))
def test_nothing_is_pruned_before_the_grace_epochs(curve, others, scheduler):
    search = config(scheduler=scheduler, grace_epochs=len(curve) + 1)
    assert not should_prune(search, curve, others, is_larger_better=True)


@settings(deadline=None)
@given(curves.filter(len), st.lists(curves, max_size=12))
def test_without_a_scheduler_nothing_is_pruned(curve, others):
    assert not should_prune(config(scheduler="none"), curve, others, is_larger_better=True)


@pytest.mark.parametrize("reduction_factor", [2, 3, 4])
def test_about_one_in_reduction_factor_survives_a_rung(reduction_factor):
    search = config(reduction_factor=reduction_factor)
    shares = []
    for seed in range(20):
        values = [[float(value)] for value in range(100)]
        random.Random(seed).shuffle(values)
        survivors = [
            curve
            for index, curve in enumerate(values)
            if not should_prune(search, curve, values[:index], is_larger_better=True)
        ]
        assert [99.0] in survivors
        shares.append(len(survivors) / 100)
    assert 0.8 / reduction_factor < sum(shares) / 20 < 1.25 / reduction_factor


def test_rungs_are_the_grace_epochs_times_powers_of_the_reduction_factor():
    search = config(grace_epochs=2, reduction_factor=3)
    assert [epoch for epoch in range(1, 60) if is_rung(search, epoch)] == [2, 6, 18, 54]


@pytest.mark.parametrize("scheduler", ["asha", "median"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_pruned_though_nothing_compares(scheduler, value):
    search = config(scheduler=scheduler, grace_epochs=2)
    assert not should_prune(search, [value], [], is_larger_better=False)
    assert should_prune(search, [0.5, value], [], is_larger_better=False)
    # Between two rungs as well.
    assert should_prune(search, [0.5, 0.4, 0.3, value], [], is_larger_better=False)


def test_ties_go_on():
    assert not should_prune(config(), [0.5], [[0.5], [0.5], [0.1]], is_larger_better=True)


def test_the_median_rule_compares_the_best_with_the_means_of_the_others():
    search = config(scheduler="median")
    others = [[0.1, 0.3], [0.2, 0.4], [0.3, 0.5], [0.4, 0.6], [0.9], [math.nan, 0.9]]
    # Means of the four that got as far: 0.2, 0.3, 0.4 and 0.5.
    assert should_prune(search, [0.34, 0.1], others, is_larger_better=True)
    assert not should_prune(search, [0.36, 0.1], others, is_larger_better=True)
    assert not should_prune(search, [0.1, 0.36], others, is_larger_better=True)
    assert not should_prune(search, [0.0, 0.0], others[:3], is_larger_better=True)
