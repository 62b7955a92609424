"""What rnnlane uses of MLflow beyond its documented interface; a test names each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

DATABASE_LOGGER = "mlflow.store.db.utils"
OLD_SCHEMA_MESSAGE = "out-of-date database schema"

NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"
DATASET_CONTEXT_TAG = "mlflow.data.context"
MODEL_VERSIONS_TAG = "mlflow.modelVersions"
AUTHOR_TAGS = (
    "mlflow.user",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
)

COLOR_TAG = "mlflow.runColor"
# Tags of an experiment: which pages MLflow shows first, and its shared views.
KIND_TAG, TRAINING_KIND = "mlflow.experimentKind", "custom_model_development"
VIEW_TAG_PREFIX = "mlflow.sharedViewState."


def with_context_tags(tags: dict[str, str]) -> dict[str, str]:
    """``tags``, and those that MLflow gives a run of this process: user, program, commit."""
    from mlflow.tracking.context.registry import resolve_tags

    return dict(resolve_tags(tags))


def check_own_input(signature: ModelSignature) -> None:
    """Has MLflow pass a model its input as it is, as for models with type hints.

    Otherwise MLflow makes a table of any input, and refuses texts that name no column.
    """
    signature._is_signature_from_type_hint = True
