import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.errors import ConfigError
from rnnlane.inference.paired import bootstrap_interval, mcnemar, paired_test
from rnnlane.records.predictions import Predictions


def answered(labels, predicted, *, num_classes=2, keys=None):
    """Predictions that give the predicted class all probability."""
    return Predictions(
        row_keys=np.arange(len(labels), dtype=np.uint64) if keys is None else keys,
        labels=np.asarray(labels, dtype=np.int64),
        probabilities=np.eye(num_classes, dtype=np.float32)[np.asarray(predicted, dtype=np.int64)],
        class_names=tuple(f"class {number}" for number in range(num_classes)),
    )


def naive_mcnemar(won, lost):
    """Sums the coin's outcomes one by one, in whole numbers."""
    total, observed = won + lost, min(won, lost)
    ways = [math.comb(total, heads) for heads in range(total + 1)]
    tail = sum(ways[: observed + 1])
    exact = min(1.0, 2 * tail / 2**total)
    mid_p = min(1.0, (2 * tail - ways[observed]) / 2**total)
    return mid_p, exact


@pytest.mark.parametrize(
    ("won", "lost"), [(0, 0), (1, 0), (0, 1), (5, 5), (3, 12), (40, 25), (120, 121), (400, 300)]
)
def test_mcnemar_is_the_fair_coin(won, lost):
    assert mcnemar(won, lost) == pytest.approx(naive_mcnemar(won, lost), rel=1e-9)


def test_mcnemar_is_the_published_example():
    # Fagerland, Lydersen and Laake (2013), table 1: 1 and 7 discordant pairs.
    assert mcnemar(1, 7) == (pytest.approx(0.0391, abs=1e-4), pytest.approx(0.0703, abs=1e-4))


def test_the_exact_p_value_is_scipy_s_binomial_test():
    from scipy.stats import binomtest

    for won, lost in [(3, 9), (17, 4), (60, 60)]:
        assert mcnemar(won, lost)[1] == pytest.approx(binomtest(won, won + lost, 0.5).pvalue)


def test_the_interval_is_that_of_drawing_the_rows_again():
    won, lost, num_rows = 30, 12, 400
    rows = np.concatenate([np.ones(won), -np.ones(lost), np.zeros(num_rows - won - lost)])
    random = np.random.default_rng(3)
    naive = [random.choice(rows, num_rows).mean() for _ in range(4000)]
    expected = np.quantile(naive, [0.025, 0.975])
    assert bootstrap_interval(won, lost, num_rows, seed=0) == pytest.approx(expected, abs=0.003)


def test_a_run_against_another():
    labels = [0, 0, 1, 1, 1]
    first, second = answered(labels, [0, 1, 1, 0, 0]), answered(labels, [0, 0, 0, 1, 1])
    test = paired_test(first, second)
    assert (test.num_rows, test.num_unshared, test.num_won, test.num_lost) == (5, 0, 3, 1)
    assert (test.first_accuracy, test.second_accuracy) == (0.4, 0.8)
    assert test.difference == pytest.approx(0.4)
    assert test.low <= test.difference <= test.high
    assert (test.p_value, test.exact_p_value) == pytest.approx(naive_mcnemar(3, 1))


@st.composite
def pairs(draw):
    num_rows = draw(st.integers(1, 40))
    classes = st.lists(st.integers(0, 2), min_size=num_rows, max_size=num_rows)
    labels = draw(classes)
    first, second = (answered(labels, draw(classes), num_classes=3) for _ in range(2))
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(num_rows)
    return first, second.take(order)


@given(pairs())
@settings(max_examples=80, deadline=None)
def test_the_order_of_runs_and_rows_turns_signs_only(pair):
    first, second = pair
    there, back = paired_test(first, second), paired_test(second, first)
    assert there.p_value == back.p_value
    assert 0 < there.p_value <= there.exact_p_value <= 1
    assert there.difference == -back.difference
    assert (there.num_won, there.num_lost) == (back.num_lost, back.num_won)
    assert there.difference == pytest.approx(there.second_accuracy - there.first_accuracy)
    assert -1 <= there.low <= there.difference <= there.high <= 1
    assert there == paired_test(first, second)


@given(pairs())
@settings(max_examples=30, deadline=None)
def test_a_run_does_not_differ_from_itself(pair):
    test = paired_test(pair[0], pair[0])
    assert (test.difference, test.low, test.high, test.p_value) == (0, 0, 0, 1)


def test_rows_that_one_run_lacks_are_counted_if_they_are_few():
    labels = np.arange(300) % 2
    first = answered(labels, labels)
    second = answered(labels, 1 - labels).take(np.arange(299)[::-1])
    test = paired_test(first, second)
    assert (test.num_rows, test.num_unshared, test.num_lost) == (299, 1, 299)
    with pytest.raises(ConfigError, match="of 300 and 290 rows they share 290; at most 1%"):
        paired_test(first, first.take(np.arange(290)))


def test_other_rows_are_refused():
    labels = np.zeros(50)
    other = np.arange(100, 150).astype(np.uint64)
    with pytest.raises(ConfigError, match="they share 0"):
        paired_test(answered(labels, labels), answered(labels, labels, keys=other))


def test_other_classes_are_refused():
    first = answered([0, 1], [0, 1])
    second = replace(first, class_names=("x", "y"))
    with pytest.raises(ConfigError, match="one has 'class 0', 'class 1' and another 'x', 'y'"):
        paired_test(first, second)


def test_diverged_predictions_are_those_of_the_first_class():
    labels = np.array([0, 1, 1])
    first = answered(labels, labels)
    broken = replace(first, probabilities=np.full((3, 2), np.nan, dtype=np.float32))
    assert paired_test(first, broken).second_accuracy == pytest.approx(1 / 3)
