"""A run's model in a SQLite store: one, whatever is cut off when."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rnnlane.tracking.client import open_client
from rnnlane.tracking.logged_model import log_model, model_ids
from rnnlane.tracking.store import download_model
from support.model_store import EXPERIMENT, make_model, make_store


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def new_run(client: Any) -> str:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    run_id = str(client.create_run(EXPERIMENT, tags={"mlflow.user": "me"}).info.run_id)
    for key in ("model.cell", "seed"):
        client.log_param(run_id, key, 7)
    for epoch, accuracy in enumerate([0.5, 0.7, 0.6], start=1):
        client.log_metric(run_id, "val/accuracy", accuracy, step=epoch)
        client.log_metric(run_id, "val/loss", math.nan, step=epoch)
        client.log_metric(run_id, "train/accuracy", 1.0, step=epoch)
    client.log_metric(run_id, "test/accuracy", 0.65, step=0)
    dataset = Dataset(name="reviews-val", digest="abc", source_type="code", source="{}")
    tag = InputTag("mlflow.data.context", "val")
    client.log_inputs(run_id, [DatasetInput(dataset, [tag])])
    return run_id


class LosesOneAnswer:
    """A client that carries a request out, once, and then says that the server is away."""

    def __init__(self, client: Any, request: str):
        self._client, self._request = client, request

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._client, name)
        if name != self._request:
            return wanted

        def lost(*arguments: Any, **named: Any) -> None:
            self._request = ""
            wanted(*arguments, **named)
            raise ConnectionError(name)

        return lost


@pytest.mark.parametrize(
    "request_name",
    [
        "",
        "create_logged_model",
        "log_model_artifacts",
        "list_logged_model_artifacts",
        "log_batch",
        "log_outputs",
        "finalize_logged_model",
    ],
)
def test_a_model_is_there_once_wherever_its_delivery_was_cut_off(
    uri: str, model: Path, tmp_path: Path, request_name: str
) -> None:
    client = open_client(uri)
    run_id = new_run(client)
    failing: Any = LosesOneAnswer(client, request_name)
    if request_name:
        with pytest.raises(ConnectionError, match=request_name):
            log_model(failing, run_id, model, best_epoch=2)
    log_model(failing, run_id, model, best_epoch=2)

    (found,) = client.search_logged_models([EXPERIMENT], f"source_run_id = '{run_id}'")
    assert (found.name, str(found.status)) == ("model", "READY")
    assert found.tags == {"mlflow.user": "me"}
    assert found.params == {"model.cell": "7", "seed": "7"}
    shown = {m.key: (m.value, m.step, m.dataset_name, m.dataset_digest) for m in found.metrics}
    assert shown == {
        "test/accuracy": (0.65, 0, None, None),
        "val/accuracy": (0.7, 2, "reviews-val", "abc"),
    }
    run = client.get_run(run_id)
    assert model_ids(run) == [found.model_id]
    points = client.get_metric_history(run_id, "val/accuracy")
    assert sorted((point.step, point.value) for point in points) == [(1, 0.5), (2, 0.7), (3, 0.6)]
    copied = download_model(uri, run_id, tmp_path)
    assert (copied / "word.txt").read_text() == "good"


def test_a_refitted_model_has_no_metrics_of_val(uri: str, model: Path) -> None:
    client = open_client(uri)
    run_id = new_run(client)
    client.log_param(run_id, "training.refit", True)
    log_model(client, run_id, model, best_epoch=2)
    (found,) = client.search_logged_models([EXPERIMENT], f"source_run_id = '{run_id}'")
    assert [metric.key for metric in found.metrics] == ["test/accuracy"]


def test_the_files_name_the_model_that_has_them(uri: str, model: Path) -> None:
    from mlflow.models import Model

    client = open_client(uri)
    run_id = new_run(client)
    log_model(client, run_id, model, best_epoch=1)
    (model_id,) = model_ids(client.get_run(run_id))
    stored = Model.load(client.get_logged_model(model_id).artifact_location)
    assert (stored.model_id, stored.run_id) == (model_id, run_id)
    assert stored.signature.inputs.input_names() == ["text"]


def test_a_model_of_an_earlier_version_is_an_artifact_of_its_run(
    uri: str, model: Path, tmp_path: Path
) -> None:
    client = open_client(uri)
    run_id = new_run(client)
    client.log_artifacts(run_id, str(model), "model")
    copied = download_model(uri, run_id, tmp_path)
    assert (copied / "word.txt").read_text() == "good"
