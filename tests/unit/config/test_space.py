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
    objective,
    ordered_keys,
    trial_experiment,
)
from rnnlane.config.space_check import check_space
from rnnlane.errors import ConfigError

LAYERS = {"model.num_layers": "randint(1, 3)"}
DROPOUT = {"model.dropout": {"uniform": [0, 0.5], "when": {"model.num_layers": [2, 3]}}}
WIDE = {
    "training.clip.of_mean": {"loguniform": [0.25, 8], "when": {"training.clip.policy": ["auto"]}},
    "training.clip.max_norm": {"steps": [1, 5, 2], "when": {"training.clip.policy": ["fixed"]}},
    "training.clip.policy": "choice(none, fixed, auto)",
    **DROPOUT,
    **LAYERS,
    "model.cell": "choice(rnn, lstm, gru)",
    "model.hidden_size": "steps(16, 128, 16)",
    "model.embedding_dim": "choice(16, 32)",
    "model.bidirectional": "choice(true, false)",
    "model.pooling": "choice(last, mean, max)",
    "training.optimizer": "choice(adam, sgd)",
    "training.momentum": {"choice": [0.0, 0.9], "when": {"training.optimizer": ["sgd"]}},
    "training.learning_rate": "loguniform(1e-4, 1e-2)",
}


def mapping(space: dict, *, values: dict | None = None, **search: object) -> dict:
    source = {"kind": "generated"}
    return {
        "name": "x",
        "data": {"source": source},
        **(values or {}),
        "search": {"space": space, **search},
    }


def experiment(space: dict, **keywords: object) -> ExperimentConfig:
    return experiment_from_mapping(mapping(space, **keywords))


def refusal(space: dict, **keywords: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        experiment(space, **keywords)
    return caught.value


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
    config = experiment(LAYERS, max_epochs=5, metric="val/loss", values={"seed": 7})
    trial = trial_experiment(config, {"model.num_layers": 3}, seed=11)
    assert trial.search is None
    assert (trial.model.num_layers, trial.seed, trial.training.seed) == (3, 7, 11)
    assert (trial.training.epochs, trial.training.metric) == (5, "val/loss")
    assert config.model.num_layers == 1


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


@pytest.mark.parametrize("metric", [{}, {"metric": "val/accuracy"}])
def test_a_mode_that_turns_the_metric_around_is_refused(metric):
    error = refusal(LAYERS, mode="min", **metric)
    assert error.message == "val/accuracy is better at its max, but got mode min"
    assert error.where == "experiment search.mode"


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


def test_a_grid_of_a_continuous_key_or_without_an_end_is_refused_by_name():
    error = refusal({"training.learning_rate": "loguniform(1e-4, 1e-2)"}, algorithm="grid")
    assert "grid needs listed values, but got loguniform(0.0001, 0.01)" in error.message
    assert error.where == "experiment search.space.training.learning_rate"
    huge = {"model.hidden_size": "randint(1, 1000)", "model.embedding_dim": "randint(1, 1000)"}
    assert "at most 100,000 combinations" in refusal(huge, algorithm="grid").message


@pytest.mark.parametrize(
    ("key", "words", "remedy"),
    [
        ("model.hiden_size", "unknown key `model.hiden_size`", "did you mean `model.hidden_size`?"),
        ("hidden_size", "unknown key `hidden_size`", "did you mean `model.hidden_size`?"),
        ("zzz", "unknown key `zzz`", "`rnnlane schema` lists the keys"),
        ("training.clip", "`training.clip` is a section", "training.clip.max_norm"),
        ("seed", "`seed` may not vary: trials on different splits", "take it out"),
        ("training.seed", "search.repeats", "take it out"),
        ("training.epochs", "search.max_epochs", "take it out"),
        ("training.metric", "search.metric", "take it out"),
        ("data.val", "trials on different rows cannot be compared", "take it out"),
        ("data.source", "trials on different rows cannot be compared", "take it out"),
        ("runtime.num_workers", "search.workers_per_trial", "take it out"),
        ("tracking.uri", "does not change what is learned", "take it out"),
        ("name", "only labels", "take it out"),
        ("sample_text", "does not change what is learned", "take it out"),
        ("search", "rules the search itself", "take it out"),
    ],
)
def test_a_key_that_may_not_vary_is_refused_with_the_reason(key, words, remedy):
    error = refusal({key: "choice(1, 2)"})
    assert words in error.message
    assert remedy in error.remedy
    assert error.where == f"experiment search.space.{key}"


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"model.num_layer": [2]}, "unknown key `model.num_layer`"),
        ({"model": [2]}, "`model` is a section"),
        ({"model.num_layers": [2, 5]}, "model.num_layers is never 5: it is randint(1, 3)"),
        ({"model.num_layers": ["2"]}, 'model.num_layers is never "2"'),
        ({"model.cell": ["lstm", "grru"]}, "model.cell is never grru"),
        ({"model.cell": ["gru"]}, "never hold together: uniform(0, 0.5) when model.cell in (gru)"),
        ({"training.learning_rate": [0.01]}, "training.learning_rate is never 0.01"),
        ({"model.dropout": [0.1]}, "circle, but got model.dropout -> model.dropout"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(space, words):
    varied = {**LAYERS, "training.learning_rate": "loguniform(1e-3, 1e-1)"}
    error = refusal({**varied, "model.dropout": {"uniform": [0, 0.5], "when": space}})
    assert words in error.message
    assert error.where == "experiment search.space.model.dropout"


def test_conditions_that_form_a_circle_are_refused():
    space = {
        "model.cell": {"choice": ["rnn"], "when": {"model.pooling": ["max"]}},
        "model.pooling": {"choice": ["max"], "when": {"model.cell": ["rnn"]}},
    }
    assert "circle, but got model.cell -> model.pooling -> model.cell" in refusal(space).message


@pytest.mark.parametrize("own_layers", [1, 2])
def test_an_invalid_combination_is_refused_with_its_cause_and_its_cure(own_layers):
    space = {
        "model.cell": "choice(rnn, lstm)",
        "model.dropout": "uniform(0, 0.5)",
        **LAYERS,
        "training.learning_rate": "loguniform(1e-4, 1e-2)",
    }
    error = refusal(space, values={"model": {"num_layers": own_layers}})
    assert error.where == "experiment search.space.model.dropout"
    assert error.message == (
        "model.dropout=0.5 with model.num_layers=1 breaks a rule: dropout acts between layers and "
        "needs num_layers >= 2, but got (dropout=0.5, num_layers=1)"
    )
    assert error.remedy == "add `when: {model.num_layers: [2, 3]}`"


def test_a_condition_on_whole_numbers_is_advised_rather_than_one_on_fractions():
    space = {"model.num_layers": "choice(1, 2)", "model.dropout": "choice(0.0, 0.5)"}
    error = refusal(space, values={"model": {"num_layers": 2}})
    assert error.remedy == "add `when: {model.num_layers: [2]}`"


def test_no_condition_is_advised_that_would_form_a_circle():
    layers = {"choice": [1, 2], "when": {"model.dropout": [0.5]}}
    error = refusal({"model.dropout": "choice(0.0, 0.5)", "model.num_layers": layers})
    assert error.where == "experiment search.space.model.dropout"
    assert error.remedy == "leave model.dropout=0.5 out, or give the key a `when`"


def test_a_wrong_value_is_blamed_alone():
    space = {**LAYERS, "model.cell": "choice(lstm, lstmm)", "model.pooling": "choice(max, mean)"}
    error = refusal(space)
    assert error.where == "experiment search.space.model.cell"
    assert error.message.startswith("model.cell=lstmm breaks a rule: must be 'rnn'")
    assert "leave model.cell=lstmm out" in error.remedy


def test_an_end_of_a_range_that_breaks_a_rule_is_found():
    error = refusal({"model.dropout": "uniform(0, 1)"}, values={"model": {"num_layers": 2}})
    assert error.message.startswith("model.dropout=1.0 breaks a rule: must be less than 1")


def test_a_value_between_the_ends_for_which_a_key_is_not_varied_is_found():
    dropout = {"uniform": [0, 0.5], "when": {"model.num_layers": [2, 4]}}
    own = {"model": {"num_layers": 2, "dropout": 0.3}}
    error = refusal({"model.num_layers": "randint(1, 4)", "model.dropout": dropout}, values=own)
    assert "model.num_layers=1" in error.message


@pytest.mark.parametrize("wrong", ["model.num_layers", "training.momentum"])
def test_a_wide_space_is_probed_at_each_value_of_each_key(wrong):
    bad = {
        "model.num_layers": "choice(1, 2, 3, 0)",
        "training.momentum": {"choice": [0.0, 1.5], "when": {"training.optimizer": ["sgd"]}},
    }
    error = refusal({**WIDE, wrong: bad[wrong]})
    assert error.where == f"experiment search.space.{wrong}"


def test_a_value_that_hardly_ever_applies_is_probed_in_a_wide_space():
    many = list(range(1, 201))
    space = {
        "training.bucket_window": "choice(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "training.max_nonfinite_steps": "choice(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "model.hidden_size": {"choice": many},
        "model.embedding_dim": {"choice": many, "when": {"model.hidden_size": [7]}},
        "training.momentum": {"choice": [0.0, 1.5], "when": {"model.embedding_dim": [9]}},
    }
    assert refusal(space).where == "experiment search.space.training.momentum"


def test_a_continuous_range_for_whole_numbers_is_refused():
    error = refusal({"model.hidden_size": "uniform(32, 64)"})
    assert "does not take every number in between, but got uniform(32, 64)" in error.message
    assert "randint" in error.remedy


def test_a_continuous_text_key_is_refused():
    error = refusal({"text.max_length": "uniform(100, 400)"})
    assert "prepared data of its own" in error.message
    assert error.where == "experiment search.space.text.max_length"


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


def test_the_check_names_the_key_where_no_file_is_known():
    config = ExperimentConfig.model_validate(mapping({"seed": "choice(1, 2)"}))
    with pytest.raises(ConfigError) as caught:
        check_space(config)
    assert caught.value.where == "search.space.seed"
