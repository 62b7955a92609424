from __future__ import annotations

from typing import Any

import pytest
import requests

from rnnlane.tracking.client import is_away, one_line
from rnnlane.tracking.delivery import MlflowDestination
from rnnlane.tracking.outbox import Record


class AppendingClient:
    """A store that, unlike MLflow's own databases, keeps a point twice if it gets it twice."""

    def __init__(self) -> None:
        self.metrics: list[Any] = []

    def log_batch(self, run_id: str, metrics: list[Any]) -> None:
        self.metrics += metrics

    def get_metric_history(self, run_id: str, key: str) -> list[Any]:
        return [metric for metric in self.metrics if metric.key == key]


def test_a_metrics_record_that_may_have_arrived_adds_only_what_is_not_there() -> None:
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


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (requests.ConnectionError("refused"), True),
        (http_error(503), True),
        (http_error(429), True),
        (http_error(401), True),
        (http_error(403), True),
        (http_error(400), False),
        (http_error(404), False),
        (ConnectionResetError(), True),
        (FileNotFoundError("the folder is gone"), False),
        (ValueError("not a number"), False),
        (RuntimeError("no credentials for the bucket"), True),
    ],
)
def test_only_what_may_work_later_counts_as_away(error: Exception, away: bool) -> None:
    assert is_away(error) == away


@pytest.mark.parametrize(
    ("code", "away"),
    [
        ("INTERNAL_ERROR", True),
        ("TEMPORARILY_UNAVAILABLE", True),
        ("REQUEST_LIMIT_EXCEEDED", True),
        ("PERMISSION_DENIED", True),
        ("INVALID_PARAMETER_VALUE", False),
        ("RESOURCE_DOES_NOT_EXIST", False),
    ],
)
def test_an_answer_of_mlflow_is_judged_by_its_code(code: str, away: bool) -> None:
    from mlflow.exceptions import RestException

    assert is_away(RestException({"error_code": code, "message": "m"})) == away


def test_an_error_is_told_in_one_line_by_its_innermost_reason() -> None:
    text = (
        "API request to http://me:hunter2@h failed with exception HTTPConnectionPool(host='h', "
        "port=9): Max retries exceeded with url: /api (Caused by NewConnectionError("
        "\"HTTPConnection(host='h', port=9): Failed to establish: [Errno 111] refused\"))"
    )
    assert one_line(Exception(text)) == "Failed to establish: [Errno 111] refused"
    assert (
        one_line(Exception("line 1\n  line 2 http://me:hunter2@h")) == "line 1 line 2 http://***@h"
    )
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(Exception("x" * 1000))) == 300
