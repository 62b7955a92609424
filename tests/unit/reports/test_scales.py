from __future__ import annotations

from typing import Any

import pytest

from rnnlane.reports.scales import ABSENT_POSITION, range_end, scale_of
from support.search_records import LAYERS, RATE, search, trial


@pytest.mark.parametrize(
    ("variation", "value", "end"),
    [
        ("loguniform(1e-4, 1e-2)", 9e-3, "high"),
        ("loguniform(1e-4, 1e-2)", 1.1e-4, "low"),
        ("loguniform(1e-4, 1e-2)", 1e-3, None),
        ("uniform(0, 0.5)", 0.01, None),
        ({"uniform": (0, 0.5), "when": {LAYERS: (2, 3)}}, 0.49, "high"),
        ("randint(1, 3)", 3, "high"),
        ("randint(1, 3)", 1, None),
        ("randint(3, 3)", 3, None),
        ("steps(100, 400, 50)", 100, "low"),
        ("choice(32, 64, 128)", 64, None),
        ("choice(128, 32, 64)", 128, "high"),
        ("choice(32, 64)", 64, None),
        ("choice(rnn, lstm, gru)", "gru", None),
        ("choice(1, 2, lstm)", 2, None),
    ],
)
def test_a_value_is_at_an_end_where_the_range_could_go_on(
    variation: Any, value: Any, end: str | None
) -> None:
    assert range_end(search([], space={"k": variation}), "k", value) == end


def test_a_key_outside_the_space_has_no_range() -> None:
    assert range_end(search([]), "k", 3) is None


def test_scale_is_logarithmic_spaced_or_absent() -> None:
    trials = [trial(0, 1, {RATE: 1e-3, "c": True}), trial(1, 1, {RATE: 1e-2, "c": False})]
    record = search(trials)
    assert scale_of(record, RATE).position(1e-3) == pytest.approx(0.5)
    assert [text for _, text in scale_of(record, "c").ticks()] == ["false", "true"]
    assert scale_of(record, RATE).position_of(trial(2, 1, {})) == ABSENT_POSITION


def test_few_whole_numbers_are_categories_and_many_a_range() -> None:
    for num, ticks in ((3, ["1", "2", "3"]), (9, ["1", "10.8", "20.5", "30.2", "40"])):
        trials = [trial(i, 1, {"n": i + 1}) for i in range(num)]
        record = search(trials, space={"n": "randint(1, 40)"})
        assert [text for _, text in scale_of(record, "n").ticks()] == ticks


def test_a_single_value_stands_in_the_middle() -> None:
    record = search([trial(0, 1, {"n": 0.25})], space={"n": "uniform(0.25, 0.25)"})
    assert scale_of(record, "n").ticks() == [(0.5, "0.25")]
