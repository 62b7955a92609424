"""Records of an outbox -> calls of MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnlane.tracking.client import is_away, one_line
from rnnlane.tracking.outbox import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowDestination:
    """Sends records to their MLflow runs. To send one twice leaves the run as to send it once."""

    def __init__(self, client: MlflowClient):
        self._client = client

    def deliver(self, record: Record, *, again: bool) -> None:
        """Makes one call, or for a metrics record that may have arrived already a few more."""
        client, run_id, content = self._client, record.run_id, record.content
        if record.kind == "metrics":
            self._deliver_metrics(record, again=again)
        elif record.kind == "params":
            from mlflow.entities import Param

            client.log_batch(run_id, params=[Param(key, value) for key, value in content.items()])
        elif record.kind == "tags":
            from mlflow.entities import RunTag

            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in content.items()])
        elif record.kind == "artifacts":
            client.log_artifacts(run_id, content["folder"], artifact_path=content["path"])
        else:
            client.set_terminated(run_id, content["status"], end_time=record.time_ms)

    def is_away(self, error: Exception) -> bool:
        """See :func:`rnnlane.tracking.client.is_away`."""
        return is_away(error)

    def describe(self, error: Exception) -> str:
        """See :func:`rnnlane.tracking.client.one_line`."""
        return one_line(error)

    def _deliver_metrics(self, record: Record, *, again: bool) -> None:
        from mlflow.entities import Metric

        step, values = record.content["step"], record.content["values"]
        if again:
            values = {
                key: value
                for key, value in values.items()
                if step not in logged_steps(self._client, record.run_id, key=key)
            }
        metrics = [Metric(key, value, record.time_ms, step) for key, value in values.items()]
        self._client.log_batch(record.run_id, metrics=metrics)


def logged_steps(client: MlflowClient, run_id: str, *, key: str) -> set[int]:
    """The steps for which a run has a value of one metric."""
    return {metric.step for metric in client.get_metric_history(run_id, key)}
