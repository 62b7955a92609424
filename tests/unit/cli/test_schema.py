import json

from rnnlane.config import ExperimentConfig


def test_the_schema_is_that_of_an_experiment(call):
    assert json.loads(call("schema").stdout) == ExperimentConfig.model_json_schema()
    assert len(call("schema", "--json").stdout.splitlines()) == 1
