"""Everything that rnnlane uses of MLflow beyond its documented interface, by name."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path

import pytest

from rnnlane.tracking import client, internals


def test_context_tags_name_the_user_and_the_program_and_keep_the_given_ones() -> None:
    tags = internals.with_context_tags({"team": "reviews"})
    assert tags.keys() >= {"mlflow.user", "mlflow.source.name", "mlflow.source.type", "team"}


def test_the_tags_have_mlflows_names() -> None:
    from mlflow.utils import mlflow_tags

    assert mlflow_tags.MLFLOW_PARENT_RUN_ID == internals.PARENT_TAG
    assert mlflow_tags.MLFLOW_RUN_NAME == internals.NAME_TAG
    assert mlflow_tags.MLFLOW_RUN_NOTE == internals.NOTE_TAG
    assert mlflow_tags.MLFLOW_DATASET_CONTEXT == internals.DATASET_CONTEXT_TAG
    assert mlflow_tags.MLFLOW_MODEL_VERSIONS == internals.MODEL_VERSIONS_TAG
    assert internals.AUTHOR_TAGS == (
        mlflow_tags.MLFLOW_USER,
        mlflow_tags.MLFLOW_SOURCE_NAME,
        mlflow_tags.MLFLOW_SOURCE_TYPE,
        mlflow_tags.MLFLOW_GIT_COMMIT,
    )


def test_a_model_that_checks_its_own_input_says_so_in_its_file() -> None:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    signature = ModelSignature(inputs=Schema([ColSpec(DataType.string, "text")]))
    internals.check_own_input(signature)
    written = Model(signature=signature).to_dict()
    assert written["is_signature_from_type_hint"] is True
    assert "text" in written["signature"]["inputs"]


def test_mlflows_pages_read_the_tags_of_runs_and_experiments() -> None:
    import mlflow.server

    scripts = Path(mlflow.server.__file__).parent / "js" / "build" / "static" / "js"
    script = "".join(file.read_text() for file in scripts.glob("main.*.js"))
    for name in (
        internals.KIND_TAG,
        internals.TRAINING_KIND,
        internals.VIEW_TAG_PREFIX,
        internals.COLOR_TAG,
    ):
        assert f'"{name}"' in script


def test_database_errors_are_logged_and_worded_as_expected() -> None:
    from mlflow.store.db import utils

    assert utils._logger is logging.getLogger(internals.DATABASE_LOGGER)
    assert internals.OLD_SCHEMA_MESSAGE in inspect.getsource(utils)


@pytest.mark.parametrize("name", [*client._PROCESS_SETTINGS, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"])
def test_mlflow_knows_the_environment_variables(name: str) -> None:
    from mlflow import environment_variables

    assert hasattr(environment_variables, name)
