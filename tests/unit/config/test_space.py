import functools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.config.space import (
    data_variants,
    draw,
    grid,
    num_trials,
    objective,
    ordered_keys,
    other_points,
    trial_experiment,
)
from rnnlane.errors import ConfigError
from support.spaces import DROPOUT, LAYERS, WIDE, experiment, refusal
from support.tiny import tiny_experiment


def drawn(config: ExperimentConfig, seed: int) -> dict:
    generator = random.Random(seed)

    def choose(_, variation):
        if variation.is_continuous:
            return generator.uniform(*variation.arguments)
        return generator.choice(variation.values)

    return draw(config, choose)


def test_keys_are_in_file_order_but_for_those_that_others_depend_on():
    space = experiment({"model.cell": "choice(rnn)", **DROPOUT, **LAYERS}).search.space
    assert ordered_keys(space) == ["model.cell", "model.num_layers", "model.dropout"]


def test_a_draw_asks_only_for_keys_that_apply():
    config = experiment({**DROPOUT, **LAYERS})
    for layers, expected in ((1, {}), (2, {"model.dropout": 0.25})):
        params = draw(config, lambda key, _, n=layers: n if key == "model.num_layers" else 0.25)
        assert params == {"model.num_layers": layers, **expected}


def test_a_condition_on_a_key_that_is_not_varied_reads_the_experiments_own_value():
    config = experiment(DROPOUT, values={"model": {"num_layers": 2}})
    assert drawn(config, 0).keys() == {"model.dropout"}


def test_a_condition_on_a_key_that_does_not_apply_reads_the_experiments_own_value():
    space = {
        "training.optimizer": "choice(adam, sgd)",
        "training.schedule.kind": {
            "choice": ["constant", "cosine"],
            "when": {"training.optimizer": ["sgd"]},
        },
        "training.schedule.factor": {
            "choice": [0.1, 0.2],
            "when": {"training.schedule.kind": ["plateau"]},
        },
    }
    config = experiment(space, values={"training": {"schedule": {"kind": "plateau"}}})
    assert grid(config) == [
        {"training.optimizer": "adam", "training.schedule.factor": 0.1},
        {"training.optimizer": "adam", "training.schedule.factor": 0.2},
        {"training.optimizer": "sgd", "training.schedule.kind": "constant"},
        {"training.optimizer": "sgd", "training.schedule.kind": "cosine"},
    ]


@functools.cache
def wide() -> ExperimentConfig:
    return experiment(WIDE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_each_drawn_setting_is_a_valid_experiment_and_its_conditions_hold(seed):
    config = wide()
    params = drawn(config, seed)
    trial = trial_experiment(config, params)
    assert ("model.dropout" in params) == (trial.model.num_layers > 1)
    assert ("training.clip.of_mean" in params) == (trial.training.clip.policy == "auto")
    assert ("training.clip.max_norm" in params) == (trial.training.clip.policy == "fixed")
    assert ("training.momentum" in params) == (trial.training.optimizer == "sgd")
    assert trial.model.cell == params["model.cell"]


def test_a_trial_is_the_experiment_with_its_values_and_without_the_search():
    values = {"seed": 7, "training": {"refit": True}}
    config = experiment(LAYERS, max_epochs=5, metric="val/loss", values=values)
    trial = trial_experiment(config, {"model.num_layers": 3}, seed=11)
    assert trial.search is None
    assert (trial.model.num_layers, trial.seed, trial.training.seed) == (3, 7, 11)
    assert (trial.training.epochs, trial.training.metric) == (5, "val/loss")
    assert config.model.num_layers == 1
    assert not trial.training.refit, "it would train on what trials are compared by"


def test_a_trial_keeps_what_the_search_leaves_open():
    trial = trial_experiment(experiment(LAYERS), {"model.num_layers": 1})
    assert (trial.training.epochs, trial.training.metric) == (12, "val/accuracy")
    assert trial.training.seed is None


def test_values_that_break_a_rule_are_refused_like_a_hand_written_file():
    with pytest.raises(ConfigError, match=r"needs num_layers >= 2, but got \(dropout=0.5"):
        trial_experiment(experiment(LAYERS), {"model.dropout": 0.5})


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, ("val/accuracy", True)),
        ({"metric": "val/loss"}, ("val/loss", False)),
        ({"metric": "val/roc_auc", "mode": "max"}, ("val/roc_auc", True)),
    ],
)
def test_the_objective(search, expected):
    assert objective(experiment(LAYERS, **search)) == expected


def test_an_experiment_without_a_search_cannot_be_searched():
    config = experiment_from_mapping({"name": "x", "data": {"source": {"kind": "generated"}}})
    with pytest.raises(ConfigError, match="`search` section, but x has none"):
        objective(config)


def test_a_grid_is_in_file_order_with_the_last_key_fastest():
    space = {
        "model.dropout": {"choice": [0.1, 0.5], "when": {"model.num_layers": [2]}},
        "model.num_layers": "choice(2, 1)",
        "model.cell": "choice(rnn, gru)",
    }
    found = [tuple(params.get(key) for key in space) for params in grid(experiment(space))]
    assert found == [
        (None, 1, "rnn"),
        (None, 1, "gru"),
        (0.1, 2, "rnn"),
        (0.1, 2, "gru"),
        (0.5, 2, "rnn"),
        (0.5, 2, "gru"),
    ]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(["rnn", "lstm", "gru"]), min_size=1, unique=True),
    st.booleans(),
)
def test_a_grid_holds_each_valid_combination_once(layers, cells, is_conditional):
    dropout = {"choice": [0.0, 0.2], "when": {"model.num_layers": [max(layers)]}}
    space = {
        **({"model.dropout": dropout} if is_conditional and max(layers) > 1 else {}),
        "model.num_layers": {"choice": layers},
        "model.cell": {"choice": cells},
    }
    config = experiment(space, algorithm="grid")
    found = grid(config)
    assert len({tuple(sorted(params.items())) for params in found}) == len(found)
    extra = len(cells) if "model.dropout" in space else 0
    assert len(found) == len(layers) * len(cells) + extra
    for params in found:
        trial_experiment(config, params)


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [
        ("choice(lstm, gru)", 5, 2),
        ("choice(lstm, gru, rnn)", 2, 2),
    ],
)
@pytest.mark.parametrize("algorithm", ["random", "optuna", "grid"])
def test_a_search_has_a_trial_for_each_of_its_settings_at_most(values, wanted, expected, algorithm):
    config = experiment({"model.cell": values}, algorithm=algorithm, num_trials=wanted)
    assert num_trials(config) == expected


def test_a_continuous_key_has_settings_without_end():
    space = {"model.cell": "choice(lstm)", "training.learning_rate": "uniform(0.1, 0.2)"}
    config = experiment(space, num_trials=500)
    assert num_trials(config) == 500
    assert other_points(config, []) == []


def test_a_range_of_one_number_is_one_setting():
    config = experiment({"training.learning_rate": "uniform(0.01, 0.01)"}, num_trials=4)
    assert num_trials(config) == 1
    assert grid(config) == [{"training.learning_rate": 0.01}]


@pytest.mark.parametrize("values", ["steps(1, 2, 0.5)", "randint(1, 4)"])
def test_all_of_a_few_values_are_tried_before_the_search(values):
    key = "model.num_layers" if "steps" in values else "training.reduction_shards"
    assert refusal({key: values}).where == f"experiment search.space.{key}"


def test_a_huge_space_is_not_listed():
    space = {
        "model.hidden_size": "randint(1, 1000000)",
        "model.embedding_dim": "randint(1, 1000000)",
    }
    assert num_trials(experiment(space, num_trials=300)) == 300


def test_a_grid_of_a_continuous_key_or_without_an_end_is_refused_by_name():
    error = refusal({"training.learning_rate": "loguniform(1e-4, 1e-2)"}, algorithm="grid")
    assert "grid needs listed values, but got loguniform(0.0001, 0.01)" in error.message
    assert error.where == "experiment search.space.training.learning_rate"
    huge = {"model.hidden_size": "randint(1, 1000)", "model.embedding_dim": "randint(1, 1000)"}
    assert "at most 100,000 combinations" in refusal(huge, algorithm="grid").message


def test_conditions_that_form_a_cycle_are_refused():
    space = {
        "model.cell": {"choice": ["rnn"], "when": {"model.pooling": ["max"]}},
        "model.pooling": {"choice": ["max"], "when": {"model.cell": ["rnn"]}},
    }
    assert "cycle, but got model.cell -> model.pooling -> model.cell" in refusal(space).message


def test_a_space_without_text_keys_needs_one_data_set():
    (variant,) = data_variants(experiment({**LAYERS, **DROPOUT}))
    assert variant.search is None
    assert variant.text == experiment(LAYERS).text


def test_each_distinct_text_setting_needs_a_data_set():
    space = {
        "model.hidden_size": "randint(1, 100000)",
        "text.max_length": {"choice": [100, 400], "when": {"model.cell": ["rnn"]}},
        "text.lowercase": "choice(true, false)",
        "model.cell": "choice(rnn, lstm)",
    }
    config = experiment(space)
    texts = [(trial.text.max_length, trial.text.lowercase) for trial in data_variants(config)]
    assert sorted(texts) == [(100, False), (100, True), (400, False), (400, True)]
    assert {drawn_text(config, seed) for seed in range(100)} == set(texts)


def drawn_text(config: ExperimentConfig, seed: int) -> tuple:
    text = trial_experiment(config, drawn(config, seed)).text
    return text.max_length, text.lowercase


def test_a_text_key_that_depends_on_a_range_is_seen_inside_and_outside_of_it():
    text = {"choice": [100, 200], "when": {"model.num_layers": [2, 4]}}
    config = experiment({"model.num_layers": "randint(1, 5)", "text.max_length": text})
    assert [trial.text.max_length for trial in data_variants(config)] == [400, 100, 200]


def test_too_many_data_sets_are_refused_with_their_number():
    assert len(data_variants(experiment({"text.max_length": "randint(1, 32)"}))) == 32
    error = refusal({"text.max_length": "randint(1, 33)", **LAYERS})
    assert "at most 32 data sets" in error.message
    assert "33" in error.message
    assert error.where == "experiment search.space.text.max_length"


def test_a_key_of_a_section_that_is_off_puts_it_on_in_a_trial():
    config = tiny_experiment("search.space.model.ngrams.dropout=choice(0.1, 0.7)")
    assert config.model.ngrams is None
    trial = trial_experiment(config, {"model.ngrams.dropout": 0.7})
    assert (trial.model.ngrams.dropout, trial.model.ngrams.bits) == (0.7, 20)
