from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.store.entities.paged_list import PagedList

from rnnlane.errors import TrackingError
from rnnlane.tracking.client import is_away
from rnnlane.tracking.delivery import MlflowDestination, trial_address
from rnnlane.tracking.outbox import Record


class AppendingClient:
    """A store that, unlike MLflow's own databases, keeps a point twice if it gets it twice."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []

    def log_batch(self, run_id: str, metrics: list[Any]) -> None:
        self.metrics += metrics

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        return [metric for metric in self.metrics if metric.key == key]


def test_a_metrics_record_that_may_have_arrived_adds_only_what_is_missing() -> None:
    client = AppendingClient()
    destination = MlflowDestination(client)  # type: ignore[arg-type]
    first = Record(1, "metrics", "run", 5, {"step": 1, "values": {"a": 0.5}})
    both = Record(1, "metrics", "run", 5, {"step": 1, "values": {"a": 0.5, "b": 0.25}})
    destination.deliver(first, again=False)
    destination.deliver(both, again=True)
    destination.deliver(both, again=True)
    points = [
        (metric.key, metric.step, metric.value, metric.timestamp) for metric in client.metrics
    ]
    assert points == [("a", 1, 0.5, 5), ("b", 1, 0.25, 5)]


class SearchClient(AppendingClient):
    """The same with one search that has no trials yet."""

    def get_run(self, run_id: str) -> Any:
        info = SimpleNamespace(run_id=run_id, experiment_id="0", status="RUNNING")
        return SimpleNamespace(info=info, data=SimpleNamespace(tags={}))

    def search_runs(self, *_: Any, **__: Any) -> PagedList[Any]:
        return PagedList([], token=None)

    def create_run(self, *_: Any, **__: Any) -> Any:
        return self.get_run("child")


def test_a_trials_record_that_may_have_arrived_adds_only_what_is_missing() -> None:
    client = SearchClient()
    destination = MlflowDestination(client)  # type: ignore[arg-type]
    address = trial_address("parent", "key")
    content = {"name": "trial", "params": {}, "tags": {}}
    destination.deliver(Record(1, "create", address, 5, content), again=False)
    destination.deliver(
        Record(2, "metrics", address, 5, {"step": 1, "values": {"a": 0.5}}), again=False
    )
    # Arrived, but without an answer.
    client.metrics.append(SimpleNamespace(key="a", step=2, value=0.25))
    destination.deliver(
        Record(3, "metrics", address, 5, {"step": 2, "values": {"a": 0.25}}), again=True
    )
    assert [(metric.key, metric.step) for metric in client.metrics] == [("a", 1), ("a", 2)]


class ArtifactClient:
    """Keeps files by name; a gateway in front of it may take uploads that it never gets."""

    def __init__(self, *, is_behind_login_page: bool):
        self.stored: dict[str, int] = {}
        self.is_behind_login_page = is_behind_login_page

    def log_artifacts(self, run_id: str, folder: str, artifact_path: str | None) -> None:
        for file in Path(folder).rglob("*"):
            if file.is_file() and not self.is_behind_login_page:
                name = file.relative_to(folder).as_posix()
                name = f"{artifact_path}/{name}" if artifact_path else name
                self.stored[name] = file.stat().st_size

    def list_artifacts(self, run_id: str, path: str | None) -> list[Any]:
        return [
            SimpleNamespace(path=name, file_size=size)
            for name, size in self.stored.items()
            if name.rpartition("/")[0] == (path or "")
        ]


@pytest.mark.parametrize("path", [None, "model"])
def test_artifacts_that_were_taken_but_did_not_arrive_are_sent_again(
    tmp_path: Path, path: str | None
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "deep" / "b.txt").write_text("bb")
    client = ArtifactClient(is_behind_login_page=True)
    record = Record(1, "artifacts", "run", 5, {"folder": str(tmp_path), "path": path})
    with pytest.raises(TrackingError, match="does not have it") as lost:
        MlflowDestination(client).deliver(record, again=False)  # type: ignore[arg-type]
    assert is_away(lost.value)
    client.is_behind_login_page = False
    MlflowDestination(client).deliver(record, again=True)  # type: ignore[arg-type]
    assert sorted(client.stored.values()) == [1, 2]


class CountingClient:
    """Records how many values each call has."""

    def __init__(self) -> None:
        self.sizes: list[tuple[str, int]] = []

    def log_batch(self, run_id: str, **values: list[Any]) -> None:
        self.sizes += [(kind, len(listed)) for kind, listed in values.items()]


def test_no_call_has_more_values_than_mlflow_takes() -> None:
    client = CountingClient()
    destination = MlflowDestination(client)  # type: ignore[arg-type]
    values = {f"key {i}": "1" for i in range(250)}
    metrics = {"step": 1, "values": {f"key {i}": 1.0 for i in range(2500)}}
    destination.deliver(Record(1, "params", "run", 5, values), again=False)
    destination.deliver(Record(2, "tags", "run", 5, values), again=False)
    destination.deliver(Record(3, "metrics", "run", 5, metrics), again=False)
    assert client.sizes == [
        *(("params", size) for size in (100, 100, 50)),
        *(("tags", size) for size in (100, 100, 50)),
        *(("metrics", size) for size in (1000, 1000, 500)),
    ]
