import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.explain import shown, validated
from rnnlane.config.near_names import RENAMED
from rnnlane.errors import ConfigError, MistakesError

MINIMAL = {"name": "x", "data": {"source": {"kind": "generated"}}}


def test_a_renamed_key_in_a_file_is_refused_with_its_new_name():
    values = {**MINIMAL, "training": {"clip": {"policy": "auto", "trial_steps": 8}}}
    with pytest.raises(ConfigError, match="`trial_steps` is now `calibration_steps`") as error:
        experiment_from_mapping(values)
    assert "training.clip.trial_steps" in error.value.where


def test_a_renamed_key_in_an_override_is_refused_with_its_new_name():
    with pytest.raises(ConfigError, match="`trial_steps` is now `calibration_steps`") as error:
        experiment_from_mapping(MINIMAL, ["training.clip.trial_steps=8"])
    assert error.value.where.startswith("--set training.clip.trial_steps=8")


def test_a_renamed_key_in_a_search_space_is_refused_with_its_new_name():
    space = {"training.clip.trial_steps": "choice(8, 16)"}
    with pytest.raises(ConfigError) as error:
        experiment_from_mapping({**MINIMAL, "search": {"space": space}})
    assert "is now `training.clip.calibration_steps`" in error.value.message
    assert error.value.where == "experiment search.space.training.clip.trial_steps"


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_key_is_gone_and_its_new_name_is_known(old, new):
    known = experiment_from_mapping(MINIMAL).model_dump()
    for part in new.split("."):
        known = known[part]
    assert old.rpartition(".")[2] not in str(experiment_from_mapping(MINIMAL).model_dump())


DATA = {"source": {"kind": "generated"}}


@pytest.mark.parametrize(
    ("values", "message", "where", "remedy"),
    [
        ({"data": DATA}, "the key `name` is required", "x name", "add it"),
        ({"name": "x", "data": DATA, "modl": {}}, "unknown key `modl`", "x modl", "`model`"),
        (
            {"name": "x", "data": {"source": {"kind": "generated", "num_row": 9}}},
            "unknown key `num_row`",
            "x data.source.num_row",
            "`num_rows`",
        ),
        (
            {"name": "x", "data": DATA, "model": {"cell": 7}},
            "but got 7",
            "x model.cell",
            None,
        ),
    ],
)
def test_an_error_has_rule_value_key_and_remedy(values, message, where, remedy):
    with pytest.raises(ConfigError) as refused:
        validated(values, origin="x")
    assert message in refused.value.message
    assert refused.value.where == where
    assert (remedy or "") in (refused.value.remedy or "")


def mistakes(values, *overrides, **keywords):
    with pytest.raises(MistakesError) as caught:
        experiment_from_mapping(values, overrides, **keywords)
    return caught.value.errors


def test_all_mistakes_are_told_in_the_order_of_the_file_and_then_of_the_overrides():
    values = {"name": "x", "data": DATA, "modl": {}, "model": {"cell": 7, "num_layers": 0}}
    lines = {("model",): 7, ("model", "cell"): 9, ("model", "num_layers"): 8, ("modl",): 3}
    found = mistakes(values, "seed=-1", "epochs", origin="x", lines=lines)
    assert [error.where for error in found] == [
        "--set epochs",
        "x:3 modl",
        "x:8 model.num_layers",
        "x:9 model.cell",
        "--set seed=-1 seed",
    ]


def test_rules_between_keys_are_told_beside_wrong_keys():
    values = {
        "name": "x",
        "data": {"source": {"kind": "csv"}, "classes": ["a", "a"], "val": 2},
        "modl": 1,
        "model": {"dropout": 0.5, "cell": "tanh"},
        "training": {"precision": "bfloat16", "global_batch_size": 1},
        "runtime": {"device": "cpu"},
    }
    found = " ".join(error.message for error in mistakes(values))
    for part in ("`path` is required", "classes must differ", "`modl`", "dropout acts between"):
        assert part in found
    assert "bfloat16 needs a GPU" in found
    assert "global_batch_size must be at least" in found


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"dropout": 0.5, "num_layers": "two"}},
        {"model": {"dropout": 0.5, "depth": 2}},
        {"data": {"source": {"kind": "imbd"}, "test": "official"}},
        {"data": {"source": {"kind": "csv"}, "test": "official"}},
        {"search": {"space": {"model.cell": "normal(1)"}}},
    ],
)
def test_a_rule_about_a_key_that_is_wrong_itself_is_not_told(sections):
    error = refused(values={**MINIMAL, **sections})
    assert not isinstance(error, MistakesError), str(error)


def test_names_in_a_search_space_are_told_beside_other_mistakes():
    space = {"lr": "choice(1, 2)", "seed": "choice(1, 2)", "model.cell": "choice(lstm, gru)"}
    found = mistakes({**MINIMAL, "seed": -1, "search": {"space": space}})
    assert [error.where for error in found] == [
        "experiment seed",
        "experiment search.space.lr",
        "experiment search.space.seed",
    ]
    assert found[1].remedy == "did you mean `training.learning_rate`?"


def refused(*overrides, values=MINIMAL):
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping(values, overrides)
    return caught.value


@pytest.mark.parametrize(
    ("override", "message", "remedy"),
    [
        ("training.optimizer=Adamm", "'adamw' or 'sgd', but got 'Adamm'", "did you mean adam?"),
        ("model.cell=LSTM", "must be 'rnn', 'lstm' or 'gru', but got 'LSTM'", "did you mean lstm?"),
        ("data.source.kind=jsnl", "kind must be one of", "did you mean jsonl?"),
        ("training.metric=accuracy", "but got 'accuracy'", "did you mean val/accuracy?"),
        ("data.test=offical", "must be 'official' or a number", "did you mean official?"),
        ("data.test=1.5", "must be 'official' or less than 1, but got 1.5", None),
        ("inference.temperature=fitt", "must be 'fit' or a number", "did you mean fit?"),
        ("inference.temperature=0", "but got 0", None),
        ("inference.temperature=true", "must be a number, but got true", None),
        ("data.classes=3", "must be a list, but got 3", None),
        ("model=lstm", "must be a mapping of keys, but got 'lstm'", None),
        ("name=", "must be text, but got null", None),
        ("name=-x", "with a letter or a digit first, but got '-x'", None),
        ("sample_text=''", "must have at least 1 character, but got ''", None),
        ("name=7", "must be text, but got 7", 'write it in quotes: "7"'),
        ("training.epochs=", "must be a whole number, but got null", None),
        ("search.space={}", "must have at least 1 item, but got {}", None),
        ("data.source.delimiter=;", "kind generated has no key `delimiter`", "kind csv has"),
    ],
)
def test_the_rule_is_in_plain_words_and_the_nearest_value_is_named(override, message, remedy):
    error = refused(override)
    assert message in error.message
    assert error.where.startswith(f"--set {override} ")
    assert error.remedy == remedy


@pytest.mark.parametrize(
    "value", ["99999999999999999999999999", "-99999999999", "1e30", "true", "1e400"]
)
@pytest.mark.parametrize("key", ["seed", "training.epochs", "data.source.num_rows"])
def test_a_number_that_some_library_could_not_hold_is_refused(key, value):
    error = refused(f"{key}={value}")
    assert f"--set {key}={value} {key}" == error.where
    assert "number" in error.message


def test_an_override_is_blamed_for_the_section_that_it_breaks():
    values = {**MINIMAL, "model": {"num_layers": 1}}
    assert refused("model.dropout=0.5", values=values).where == "--set model.dropout=0.5 model"
    assert refused("seed=2", "trainig.epochs=3", "name=y").where == (
        "--set trainig.epochs=3 trainig"
    )


def test_a_file_is_blamed_for_its_own_mistake():
    values = {**MINIMAL, "model": {"num_layers": 1, "dropout": 0.5}}
    assert refused("seed=2", values=values).where == "experiment model"


def test_the_override_is_blamed_that_took_away_what_another_needed():
    overrides = ["model.num_layers=2", "model.dropout=0.5", "model.num_layers=1"]
    assert refused(*overrides).where == "--set model.num_layers=1 model"


def test_a_long_value_is_cut():
    assert shown("a" * 100) == "'" + "a" * 56 + "..."
    assert shown([1]) == "[1]"
