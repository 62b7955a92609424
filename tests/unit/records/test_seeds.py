import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.records.seeds import SeedsResult, Spread, as_plain, describe_seed, plus_minus, spreads
from support.results import seeds_result, train_result, write_history


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_a_spread_is_that_of_numpy(values):
    spread, expected = Spread.of(values), np.array(values)
    assert spread.mean == pytest.approx(expected.mean(), rel=1e-9, abs=1e-6)
    assert spread.std == pytest.approx(expected.std(ddof=1), rel=1e-9, abs=1e-6)
    assert (spread.min, spread.max) == (expected.min(), expected.max())


def test_one_seed_has_no_spread_and_a_value_that_is_none_gives_none():
    one = Spread.of([0.5])
    assert (one.mean, one.min, one.max) == (0.5, 0.5, 0.5)
    assert math.isnan(one.std)
    for broken in (math.nan, math.inf):
        values = as_plain({"x": Spread.of([0.5, broken])})["x"].values()
        assert all(map(math.isnan, values))


def test_it_is_shown_as_papers_do():
    assert plus_minus(0.91234, 0.00456) == str(Spread(0.91234, 0.00456, 0.9, 0.92))
    assert plus_minus(0.91234, 0.00456) == "0.9123 ± 0.0046"
    assert plus_minus(0.5, None) == plus_minus(0.5, math.nan) == "0.5000"


def test_a_metric_that_one_seed_lacks_has_no_spread():
    found = spreads([{"a": 0.0, "b": 1.0}, {"a": 1.0}])
    assert found == {"a": Spread.of([0.0, 1.0])}
    assert spreads([]) == {}


def test_a_result_survives_json_and_shows_mean_and_spread():
    result = seeds_result()
    assert SeedsResult(**json.loads(json.dumps(result.as_dict()))) == result
    assert repr(result) == (
        "SeedsResult(run 01234567, seeds 4, 5, val accuracy 0.7500 ± 0.3536, "
        "test accuracy 0.8500 ± 0.0707)"
    )
    page = result._repr_html_()
    for text in ("seed 5 (by val/accuracy)", "<td", "1.0000", "2 of 3", "be careful"):
        assert text in page


def test_the_history_has_the_epochs_of_every_seed(tmp_path):
    for seed, num_epochs in ((0, 2), (1, 3)):
        (tmp_path / f"{seed}").mkdir()
        write_history(tmp_path / f"{seed}", num_epochs)
    seeds = [describe_seed(seed, train_result(tmp_path / f"{seed}"), {}) for seed in (0, 1)]
    history = seeds_result(seeds=seeds).history
    assert history.index.names == ["seed", "epoch"]
    assert history.index.tolist() == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    assert history.loc[(1, 3), "val/accuracy"] == 0.8
