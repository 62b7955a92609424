import json

import pytest

from rnnlane.records.promotion import Promotion

TARGET = "rnnlane.cli.promote.promote_run"
TEST = {"first_accuracy": 0.9, "second_accuracy": 0.95, "difference": 0.05}
WORDS = "+5.00 points (95% interval +2.00 to +8.00, p < 0.001)"


def promotion(**changes):
    values = {
        "name": "reviews",
        "alias": "champion",
        "version": 3,
        "run_id": "a" * 32,
        "tracking_uri": "sqlite:///mlflow.db",
        "model_uri": "models:/reviews@champion",
        "reason": "better on the test rows",
        "previous": {"name": "reviews", "number": 2, "run_id": "b" * 32},
        "test": TEST,
        "difference": WORDS,
    }
    return Promotion(**{**values, **changes})


def test_the_new_version_is_shown_with_why_it_has_the_alias(call, replaced):
    calls = replaced(TARGET, promotion())
    printed = call("promote", "latest", "--name", "reviews").stdout
    assert calls[0][0] == ("latest",)
    wanted = {"name": "reviews", "alias": "champion", "force": None, "tracking_uri": None}
    assert calls[0][1] == wanted
    assert "version 3 of reviews is now champion" in printed
    assert "test 0.9500 against 0.9000" in printed
    assert WORDS in printed
    assert 'rnnlane predict --run models:/reviews@champion "a text"' in printed
    assert "http" not in printed


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"is_moved": False, "previous": None, "test": None}, "is already champion"),
        ({"test": None, "difference": None}, "not compared"),
        ({"reason": "new\n\x1b[31mdata"}, "new"),
        ({"model_uri": "models:/my model@x"}, "--run 'models:/my model@x' "),
        ({"tracking_uri": "http://host"}, "http://host/#/models/reviews/versions/3"),
    ],
)
def test_what_else_is_shown(call, replaced, changes, shown):
    replaced(TARGET, promotion(**changes))
    printed = call("promote", "latest", "--name", "reviews", "--force", "new data").stdout
    assert shown in printed
    assert "\x1b[31m" not in printed


def test_json_has_the_whole_result(call, replaced):
    replaced(TARGET, promotion())
    printed = call("promote", "latest", "--name", "reviews", "--json").stdout
    assert json.loads(printed)["test"] == TEST
