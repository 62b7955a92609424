import json

import pytest

from rnnlane.errors import ConfigError


def test_it_prints_name_and_fingerprint_and_the_whole_config_as_json(call, experiment):
    found = json.loads(call("validate", experiment, "--json").stdout)
    assert found["config"]["data"]["source"]["kind"] == "generated"
    text = call("validate", experiment).stdout
    assert text == f"{experiment} is valid: x, fingerprint {found['config_fingerprint']}\n"


def test_it_lists_what_a_search_varies(call, experiment):
    space = "search.space.model.hidden_size=choice(16, 32)"
    lines = call("validate", experiment, "--set", space).stdout.splitlines()
    assert lines[1] == "`rnnlane tune` would vary:"
    assert lines[2].startswith("  model.hidden_size: ")


def test_a_broken_rule_is_refused(call, experiment):
    with pytest.raises(ConfigError) as refused:
        call("validate", experiment, "--set", "model.hidden_size=0")
    assert "model.hidden_size" in refused.value.where
