from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mlflow.store.entities.paged_list import PagedList

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
