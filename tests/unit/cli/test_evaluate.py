import json

import pytest

from rnnlane.errors import ConfigError
from rnnlane.pipeline import Evaluation

RESULT = Evaluation("ab", "val", 5, {"loss": 0.5}, ("neg", "pos"), [[2, 1], [0, 2]])


@pytest.fixture
def calls(replaced):
    return replaced("rnnlane.cli.evaluate.evaluate_run", RESULT)


def test_the_confusion_has_a_row_per_true_class(call, calls):
    lines = [line.split() for line in call("evaluate", "--split", "val").stdout.splitlines()]
    assert ["neg", "2", "1"] in lines
    assert ["pos", "0", "2"] in lines
    (config,), keywords = calls[0]
    assert config is None
    assert (keywords["run"], keywords["split"]) == ("latest", "val")


def test_an_experiment_may_be_named_and_changed(call, calls, experiment):
    printed = call("evaluate", experiment, "--run", "ab", "--set", "name=y", "--json").stdout
    assert json.loads(printed) == RESULT.as_dict() | {"class_names": ["neg", "pos"]}
    assert calls[0][0][0].name == "y"


def test_set_needs_an_experiment(call, calls):
    with pytest.raises(ConfigError, match="--set needs an experiment"):
        call("evaluate", "--set", "name=y")
    assert calls == []
