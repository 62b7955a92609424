import json
from types import SimpleNamespace

import pytest

STATS = SimpleNamespace(
    num_rows=1234,
    class_counts={"neg": 600, "pos": 634},
    length_quantiles={"p50": 20.0, "max": 99.0},
    unknown_token_rate=0.0123,
)
MANIFEST = SimpleNamespace(
    splits={"train": STATS},
    model_dump=lambda mode: {"mode": mode},
)


@pytest.fixture
def calls(replaced):
    prepared = SimpleNamespace(path="prepared/ab", fingerprint="ab", manifest=MANIFEST)
    return replaced("rnnlane.cli.prepare.prepare_data", prepared)


def test_a_person_sees_each_split(call, calls, experiment):
    printed = call("prepare", experiment).stdout
    assert "'neg': 600, 'pos': 634" in printed


def test_json_has_the_manifest(call, calls, experiment):
    found = json.loads(call("prepare", experiment, "--json").stdout)
    assert found["data_fingerprint"] == "ab"
    assert found["manifest"] == {"mode": "json"}
