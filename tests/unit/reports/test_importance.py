from __future__ import annotations

import random
from dataclasses import replace

from rnnlane.reports.importance import importances
from support.search_records import LAYERS, POLICY, RATE, search, search_of_learning_rate, trial


def test_the_key_that_decides_is_the_most_important_and_twice_the_same() -> None:
    first = importances(search_of_learning_rate())
    assert first[0].key == RATE
    assert first[0].mean > 5 * max(0.0, first[1].mean)
    assert importances(search_of_learning_rate()) == first


def test_importance_needs_four_trials_that_differ() -> None:
    trials = [trial(i, 0.5 + i / 10, {RATE: 10.0**-i}) for i in range(5)]
    assert importances(search(trials[:3])) == []
    assert importances(search(trials[:4])) != []
    assert importances(search([replace(one, value=0.5) for one in trials])) == []


def test_keys_without_effect_are_given_little_importance() -> None:
    draw = random.Random(0)
    trials = [
        trial(
            i,
            draw.random(),
            {
                RATE: 10 ** -draw.uniform(2, 4),
                LAYERS: draw.choice((1, 2, 3)),
                POLICY: draw.choice(("none", "auto")),
            },
        )
        for i in range(60)
    ]
    assert all(one.mean < one.std for one in importances(search(trials)))
