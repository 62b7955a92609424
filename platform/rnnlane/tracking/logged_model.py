"""The model of a run in MLflow: a LoggedModel, which has params, metrics and a page of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.records.refit import is_refitted
from rnnlane.tracking.internals import AUTHOR_TAGS, DATASET_CONTEXT_TAG
from rnnlane.tracking.packaging import MODEL_PATH
from rnnlane.tracking.uploads import check_arrived

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, LoggedModel, Metric, Run


def log_model(client: MlflowClient, run_id: str, folder: Path, *, best_epoch: int) -> None:
    """Sends a run's model. Twice has the effect of once: a run has one model.

    Args:
        client: of the store that has the run.
        run_id: of the run.
        folder: an MLflow model; its metadata gets the ids that the store gives.
        best_epoch: the model gets the run's val metrics of this epoch, and those of test. One that
            is refitted on val has none of val.

    Raises:
        Exception: whatever MLflow raises.
        TrackingError: the store took the files, but does not have them.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run = client.get_run(run_id)
    model = _find(client, run) or client.create_logged_model(
        run.info.experiment_id,
        name=MODEL_PATH,
        source_run_id=run_id,
        params=run.data.params,
        tags={tag: run.data.tags[tag] for tag in AUTHOR_TAGS if tag in run.data.tags},
    )
    # A request may have been cut off after any of these steps: each looks at what is there.
    missing = {k: v for k, v in run.data.params.items() if k not in model.params}
    if missing:
        client.log_model_params(model.model_id, missing)
    _write_ids(folder, model, run_id=run_id)
    client.log_model_artifacts(model.model_id, str(folder))
    check_arrived(
        folder,
        lambda path: client.list_logged_model_artifacts(model.model_id, path),
        path=None,
        where=f"model {model.model_id}",
    )
    metrics = list(_metrics(client, run, model.model_id, best_epoch=best_epoch))
    if metrics:
        client.log_batch(run_id, metrics=metrics)
    if model.model_id not in model_ids(run):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, best_epoch)])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def model_ids(run: Run) -> list[str]:
    """Ids of the LoggedModels of a run, the oldest first; none of a run of rnnlane 0.3."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return [output.model_id for output in outputs]


def _find(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The model that an earlier delivery has created, maybe without ever hearing of it."""
    name_and_run = f"name = '{MODEL_PATH}' AND source_run_id = '{run.info.run_id}'"
    found = client.search_logged_models([run.info.experiment_id], name_and_run)
    return next(iter(found), None)


def _write_ids(folder: Path, model: LoggedModel, *, run_id: str) -> None:
    from mlflow.models import Model

    metadata = Model.load(str(folder))
    metadata.model_id = metadata.model_uuid = model.model_id
    metadata.run_id, metadata.artifact_path = run_id, model.artifact_location
    metadata.save(str(folder / "MLmodel"))


def _metrics(client: MlflowClient, run: Run, model_id: str, *, best_epoch: int) -> Iterator[Metric]:
    """Points of the run's metrics, the same ones, which are the model's too."""
    from mlflow.entities import Metric

    datasets = _datasets(run)
    splits = {"test"} if is_refitted(run.data.params) else {"val", "test"}
    for key in sorted(run.data.metrics):
        split = key.partition("/")[0]
        if split not in splits:
            continue
        points = client.get_metric_history(run.info.run_id, key)
        # The test metrics are of the best epoch, whatever step they are logged at.
        points = [point for point in points if split == "test" or point.step == best_epoch]
        point = max(points, key=lambda point: (point.step, point.timestamp), default=None)
        # MLflow gives a model 0 for NaN.
        if point is None or not math.isfinite(point.value):
            continue
        dataset = datasets.get(split)
        yield Metric(
            key,
            point.value,
            point.timestamp,
            point.step,
            model_id=model_id,
            dataset_name=dataset.name if dataset else None,
            dataset_digest=dataset.digest if dataset else None,
            run_id=run.info.run_id,
        )


def _datasets(run: Run) -> dict[str, Dataset]:
    """The run's data sets by split."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return {
        tag.value: each.dataset
        for each in inputs
        for tag in each.tags
        if tag.key == DATASET_CONTEXT_TAG
    }
