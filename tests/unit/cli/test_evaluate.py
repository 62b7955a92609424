import json

import numpy as np
import pytest

from rnnlane.errors import ConfigError
from rnnlane.records.results import Evaluation
from rnnlane.reports.classes import describe_classes


def scored(split, names, matrix):
    described = describe_classes({split: np.array(matrix)}, names, split=split)
    return Evaluation("ab", split, 5, {"loss": 0.5}, tuple(names), matrix, **described)


RESULT = scored("val", ("neg", "pos"), [[2, 1], [0, 2]])
TARGET = "rnnlane.cli.evaluate.evaluate_run"


def of_classes(names):
    """Each row of a class is taken for the next one, but for ten that are right."""
    size = len(names)
    matrix = [
        [10 if predicted == true else true * (predicted == true + 1) for predicted in range(size)]
        for true in range(size)
    ]
    return scored("test", names, matrix)


@pytest.fixture
def calls(replaced):
    return replaced(TARGET, RESULT)


def test_the_confusion_has_a_row_per_true_class(call, calls):
    lines = [line.split() for line in call("evaluate", "--split", "val").stdout.splitlines()]
    assert ["neg", "2", "1"] in lines
    assert ["pos", "0", "2"] in lines
    (config,), keywords = calls[0]
    assert config is None
    assert (keywords["run"], keywords["split"], keywords["data"]) == ("latest", "val", None)
    assert ["pos", "0.6667", "1.0000", "0.8000", "2"] in lines


def test_a_matrix_of_many_classes_becomes_the_most_confused_pairs(call, replaced):
    names = [f"[class {number}]" for number in range(13)]
    replaced(TARGET, of_classes(names))
    printed = call("evaluate").stdout
    assert "true \\ predicted" not in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["[class", "11]", "[class", "12]", "11", "52.4%"] in lines
    assert sum(line[:1] == ["[class"] for line in lines) == 13 + 10
    replaced(TARGET, of_classes(names[:12]))
    assert "true \\ predicted" in call("evaluate").stdout


def test_a_matrix_wider_than_the_terminal_becomes_pairs(call, replaced):
    replaced(TARGET, of_classes(["a" * 90, "b" * 90, "c" * 90]))
    printed = call("evaluate").stdout
    assert "true \\ predicted" not in printed
    assert "most confused" in printed


def test_a_model_without_errors_has_no_pairs(call, replaced):
    replaced(TARGET, of_classes(["a" * 300]))
    assert "most confused" not in call("evaluate").stdout


def test_a_labeled_file_stands_in_for_a_split(call, calls):
    call("evaluate", "--data", "x.csv")
    assert calls[0][1]["data"] == "x.csv"
    with pytest.raises(ConfigError, match="got both"):
        call("evaluate", "--data", "x.csv", "--split", "test")


def test_a_model_takes_a_gpu_where_there_is_one_unless_told(call, calls):
    call("evaluate")
    call("evaluate", "--device", "cpu")
    assert [keywords["device"] for _, keywords in calls] == ["auto", "cpu"]


def test_an_experiment_may_be_named_and_changed(call, calls, experiment):
    printed = call("evaluate", experiment, "--run", "ab", "--set", "name=y", "--json").stdout
    assert json.loads(printed) == RESULT.as_dict() | {"class_names": ["neg", "pos"]}
    assert calls[0][0][0].name == "y"


def test_set_needs_an_experiment(call, calls):
    with pytest.raises(ConfigError, match="--set needs an experiment"):
        call("evaluate", "--set", "name=y")
    assert calls == []
