"""Keys of earlier versions are refused with their new name."""

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.explain import RENAMED
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
