import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
from rnnlane.config.search import Variation, same_value
from rnnlane.errors import ConfigError

KEY = "model.hidden_size"


def experiment(space: dict, **search: object) -> ExperimentConfig:
    return experiment_from_mapping(
        {
            "name": "x",
            "data": {"source": {"kind": "generated"}},
            "search": {"space": space, **search},
        }
    )


def variation(value: object, key: str = KEY) -> Variation:
    return experiment({key: value}).search.space[key]


def refusal(value: object, key: str = KEY) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        experiment({key: value})
    return caught.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"randint": [3, 1]}, "low <= high must hold, but got (low=3, high=1)"),
        ({"steps": [3, 1, 1]}, "low <= high must hold, but got (low=3, high=1)"),
        ({"uniform": [0.5, 0.1]}, "low <= high must hold, but got (low=0.5, high=0.1)"),
        ({"loguniform": [0, 1]}, "low > 0 must hold, but got (low=0)"),
        ({"steps": [1, 3, 0]}, "step > 0 must hold, but got (step=0)"),
        ({"steps": [1, 3, -1]}, "step > 0 must hold, but got (step=-1)"),
        ({"steps": [0, 1, 1e-9]}, "at most 10,000 values, but got steps(0, 1, 1e-09)"),
        ({"uniform": [0, float("inf")]}, "finite number, but got inf"),
        ({"choice": [1, float("nan")]}, "must be finite, but got nan"),
        ({"choice": [32, 64, 32]}, "choices must differ, but got 32 twice"),
        ({"choice": [1, 1.0]}, "choices must differ"),
        ({"choice": [[32]]}, "null, true, false, a number or text, but got [32]"),
        ({"choice": []}, "at least 1 item"),
        ({"choice": [32], "when": {"model.cell": []}}, "at least 1 item"),
        ({"choice": [32], "when": {"model.cell": [{}]}}, "number or text, but got {}"),
        ({}, "exactly one of choice, uniform, loguniform, randint, steps must be given, but got"),
        ({"choice": [32], "randint": [1, 2]}, "but got choice and randint"),
        ({"randint": [1]}, "randint takes (low, high), but got (1)"),
        ("steps(1, 2)", "steps takes (low, high, step), but got (1, 2)"),
        ("randint(3, 1)", "low <= high must hold"),
        ("lognormal(1, 2)", "unknown distribution `lognormal`; known: choice, uniform"),
        ("choice(32", "must be a mapping such as {choice: [32, 64]} or a call"),
        ("choice(32], [1)", "must be values separated by commas"),
        ("choice([32)", "must be values separated by commas"),
        ("choice()", "at least 1 item"),
        ([32, 64], "must be a mapping such as {choice: [32, 64]} or a call"),
        (None, "must be a mapping such as"),
    ],
)
def test_a_variation_that_breaks_a_rule_is_refused_with_the_value_received(value, words):
    error = refusal(value)
    assert words in error.message
    assert f"search.space.{KEY}" in error.where


def test_a_misspelt_distribution_is_refused_with_the_nearest_one():
    error = refusal({"choices": [32, 64]})
    assert error.message.startswith("unknown key `choices`")
    assert error.remedy == "did you mean `choice`?"


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("loguniform(1e-4, 1e-2)", {"loguniform": [1e-4, 1e-2]}),
        ("uniform(0.001, .5)", {"uniform": [0.001, 0.5]}),
        (" choice( 0.1 , 1 ) ", {"choice": [0.1, 1]}),
    ],
)
def test_the_call_notation_is_the_mapping_in_other_words(text, mapping):
    key = "training.learning_rate"
    assert variation(text, key) == variation(mapping, key)


def test_choices_of_a_call_are_read_as_yaml():
    space = {
        "model.cell": "choice(rnn, 'lstm')",
        "model.bidirectional": "choice(true, false)",
        "training.early_stopping": "choice(null, 3)",
        "text.stop_words": 'choice(off, "english")',
    }
    read = {key: value.choice for key, value in experiment(space).search.space.items()}
    assert list(read.values()) == [("rnn", "lstm"), (True, False), (None, 3), ("off", "english")]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps(100, 400, 150)", [100, 250, 400]),
        ("steps(100, 399, 150)", [100, 250]),
        ("steps(1e2, 4e2, 3e2)", [100, 400]),
        ("randint(1, 3)", [1, 2, 3]),
        ("randint(2, 2)", [2]),
        ("choice(3, 1)", [3, 1]),
    ],
)
def test_listed_values_hold_both_ends_and_whole_numbers_are_ints(text, values):
    found = list(variation(text).values)
    assert found == values
    assert all(type(value) is int for value in found)


def test_fractional_steps_are_the_numbers_that_their_author_means():
    found = variation("steps(0.1, 0.5, 0.1)", "training.learning_rate").values
    assert list(found) == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_what_a_variation_can_be():
    sizes = variation("steps(100, 400, 150)")
    assert [sizes.can_be(value) for value in (250, 250.0, 251, 250.5, "250", True)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert not Variation(randint=(0, 1)).can_be(True)
    assert not Variation(choice=(1, "a")).can_be(True)
    assert Variation(choice=(None, "a")).can_be(None)
    assert not Variation(uniform=(0, 1)).can_be(0.5)


def test_a_huge_range_of_whole_numbers_costs_nothing():
    wide = Variation(randint=(1, 10**15))
    assert len(wide.values) == 10**15
    assert not wide.can_be(0.5)


def test_describe_gives_the_call_notation_and_the_conditions():
    when = {"model.num_layers": (2, 3), "model.cell": ("lstm",)}
    assert (
        str(Variation(uniform=(0, 0.5), when=when))
        == "uniform(0, 0.5) when model.num_layers in (2, 3) and model.cell in (lstm)"
    )
    assert str(Variation(steps=(100, 400, 50))) == "steps(100, 400, 50)"
    assert str(Variation(choice=(None, True, 1.0, "a, b"))) == ('choice(null, true, 1.0, "a, b")')


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(plain, min_size=1, max_size=4))
def test_described_choices_read_back_as_they_are(choices):
    different = [
        item
        for index, item in enumerate(choices)
        if not any(same_value(item, earlier) for earlier in choices[:index])
    ]
    text = str(Variation(choice=tuple(different)))
    # The key takes only some of these, so the section is read on its own.
    section = type(experiment({KEY: "choice(1)"}).search)
    read = section.model_validate({"space": {KEY: text}}).space[KEY].choice
    assert len(read) == len(different)
    assert all(map(same_value, read, different))


def test_an_experiment_with_a_search_reads_back_as_itself():
    config = experiment(
        {
            "model.num_layers": "randint(1, 3)",
            "training.early_stopping": "choice(null, 2)",
            "model.dropout": {"uniform": [0, 0.5], "when": {"model.num_layers": [2, 3]}},
            "training.weight_decay": "steps(0, 0.1, 0.05)",
        },
        metric="val/loss",
    )
    assert experiment_from_mapping(config.model_dump(mode="json")) == config
    assert experiment_from_mapping(json.loads(config.model_dump_json())) == config


def test_the_schema_takes_a_call_and_a_mapping():
    schema = ExperimentConfig.model_json_schema()
    kinds = schema["$defs"]["SearchConfig"]["properties"]["space"]["additionalProperties"]["anyOf"]
    assert kinds == [{"type": "string"}, {"$ref": "#/$defs/Variation"}]


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("    model.hidden_size: {randint: [3, 1]}", KEY, "low <= high"),
        ("    model.hidden_size: {uniform: [a, 1]}", f"{KEY}.uniform.0", "a number"),
        ("    model.hidden_sze: choice(1)", "model.hidden_sze", "unknown key"),
        ("    model.hidden_size: choice(0, 4)", KEY, "model.hidden_size=0"),
    ],
)
def test_an_error_in_a_file_names_file_line_and_key(tmp_path, line, key, words):
    file = tmp_path / "x.yaml"
    file.write_text(f"name: x\ndata:\n  source: {{kind: generated}}\nsearch:\n  space:\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert caught.value.where == f"{file}:6 search.space.{key}"
    assert words in caught.value.message


def test_an_override_can_vary_a_dotted_key():
    values = experiment({KEY: "choice(32)"}).model_dump(mode="json")
    override = "search.space.model.num_layers=randint(1, 3)"
    space = experiment_from_mapping(values, [override]).search.space
    assert list(space) == [KEY, "model.num_layers"]
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping(values, ["search.space.model.num_layers=randint(0, 3)"])
    assert caught.value.where.startswith("--set search.space.model.num_layers=randint(0, 3) ")
