import json

import pytest

from rnnlane.records.ensemble import EnsembleResult

MEMBERS = [
    {"run_id": "a" * 32, "name": "gru", "model": "rnn", "weight": 0.25},
    {"run_id": "b" * 32, "name": "linear", "model": "linear", "weight": 0.75},
]
FIGURES = {"val/accuracy": 0.91, "val/loss": 0.3, "test/accuracy": 0.9, "test/loss": 0.31}


@pytest.fixture
def calls(replaced):
    result = EnsembleResult(
        run_id="c" * 32,
        tracking_uri="sqlite:///x.db",
        data_fingerprint="d",
        model_uri="runs:/c/model",
        metrics={"val/accuracy": 0.92, "test/accuracy": 0.915, "test/macro_f1": 0.914},
        weighting="val",
        members=[{**member, **FIGURES} for member in MEMBERS],
        num_rows={"val": 50, "test": 1234},
        sample=None,
        run_folder="runs/x",
        temperature=0.875,
        verdict=None,
    )
    return replaced("rnnlane.cli.ensemble.make_ensemble", result)


def test_a_person_sees_what_each_member_adds_and_how_to_ask_the_model(call, calls):
    printed = call("ensemble", "gru", "linear").stdout
    assert calls[0][0] == (["gru", "linear"],)
    assert calls[0][1]["weights"] == "val"
    rows = [" ".join(line.split()) for line in printed.splitlines()]
    assert "gru (aaaaaaaa) 0.250 0.9100 0.9000" in rows
    assert "linear (bbbbbbbb) 0.750 0.9100 0.9000" in rows
    assert "ensemble 0.9200 0.9150" in rows
    assert "test 1,234" in printed
    assert "0.875" in printed
    assert 'rnnlane predict --run cccccccc "a text"' in printed


def test_json_is_the_result(call, calls):
    asked = ("ensemble", "a", "b", "--weights", "mean", "--tracking-uri", "http://h", "--json")
    printed = call(*asked).stdout
    assert json.loads(printed)["members"][1]["weight"] == 0.75
    assert calls[0][1]["weights"] == "mean"
    assert calls[0][1]["tracking_uri"] == "http://h"
