import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.explain import RENAMED, located, shown, validated
from rnnlane.errors import ConfigError

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


def test_further_errors_are_counted_and_named():
    values = {"name": "x", "data": DATA, "model": {"cell": 7, "num_layers": 0}}
    with pytest.raises(ConfigError, match=r"1 more: model\.num_layers"):
        validated(values, origin="x")


def test_the_place_is_that_of_the_innermost_key_that_has_one():
    places = {("model",): "x.yaml:3", ("model", "cell"): "x.yaml:4"}
    assert located(("model", "cell"), "x.yaml", places) == "x.yaml:4 model.cell"
    assert located(("model", "dropout"), "x.yaml", places) == "x.yaml:3 model.dropout"
    assert located(("name",), "x.yaml", places) == "x.yaml name"


def test_a_long_value_is_cut():
    assert shown("a" * 100) == "'" + "a" * 56 + "..."
    assert shown([1]) == "[1]"
