"""The number of workers: one, or the least and the most."""

import json

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import ConfigError

PLAIN = {"name": "x", "data": {"source": {"kind": "generated"}}}


def runtime(value: str):
    return experiment_from_mapping(PLAIN, [f"runtime.num_workers={value}"]).runtime


def test_a_number_is_the_least_and_the_most():
    fixed = runtime("3")
    assert (fixed.min_workers, fixed.max_workers, fixed.is_elastic) == (3, 3, False)
    assert runtime("0").max_workers == 0


def test_a_range_has_a_least_and_a_most():
    elastic = runtime("[1, 4]")
    assert (elastic.min_workers, elastic.max_workers, elastic.is_elastic) == (1, 4, True)


def test_auto_is_at_least_one_until_the_gpus_are_counted():
    auto = runtime("auto")
    assert (auto.min_workers, auto.max_workers, auto.is_elastic) == (1, 1, False)


@pytest.mark.parametrize("value", ["-1", "1.5", "true", "two", "[2, 1]", "[2, 2]", "[0, 2]", "[1]"])
def test_what_is_neither_is_refused_with_the_rule(value):
    with pytest.raises(ConfigError) as caught:
        runtime(value)
    assert "[min, max] with 1 <= min < max, or auto, but got " in caught.value.message
    assert caught.value.where.endswith("runtime.num_workers")
    assert "more:" not in caught.value.message


def test_a_range_survives_the_way_to_a_worker():
    config = experiment_from_mapping(PLAIN, ["runtime.num_workers=[1, 4]"])
    plain = json.loads(json.dumps(config.model_dump(mode="json")))
    assert ExperimentConfig.model_validate(plain) == config


def test_the_most_workers_need_a_row_each():
    with pytest.raises(ConfigError, match=r"at least runtime\.num_workers"):
        experiment_from_mapping(
            PLAIN, ["runtime.num_workers=[1, 4]", "training.global_batch_size=3"]
        )


def test_the_schema_allows_all_three():
    schema = ExperimentConfig.model_json_schema()["$defs"]["RuntimeConfig"]
    kinds = [each["type"] for each in schema["properties"]["num_workers"]["anyOf"]]
    assert kinds == ["integer", "array", "string"]


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/x?secret_key=abc",
        "s3://bucket/x?endpoint_override=http://user:abc@host",
        "abfs://container/x?sig=abc",
        "gs://bucket/x?access_token=abc",
    ],
)
def test_keys_in_the_options_of_an_address_are_refused(address):
    with pytest.raises(ConfigError, match="may not hold credentials"):
        experiment_from_mapping(PLAIN, [f"runtime.storage_path={address}"])


def test_other_options_of_an_address_are_fine():
    address = "s3://bucket/x?endpoint_override=http://host:9000&region=eu-west-1"
    config = experiment_from_mapping(PLAIN, [f"runtime.storage_path={address}"])
    assert config.runtime.storage_path == address
