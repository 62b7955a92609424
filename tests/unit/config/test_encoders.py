import pkgutil

import pytest

from rnnlane.config.encoders import ENCODERS
from rnnlane.config.experiment import ExperimentConfig
from rnnlane.models.encoder import Encoder


@pytest.mark.parametrize("name", ENCODERS.values())
def test_each_name_is_that_of_an_encoder(name: str) -> None:
    assert issubclass(pkgutil.resolve_name(name), Encoder)


def test_the_schema_lists_the_registered_cells() -> None:
    definitions = ExperimentConfig.model_json_schema()["$defs"]
    assert definitions["ModelConfig"]["properties"]["cell"]["enum"] == list(ENCODERS)
