"""Preparing again, with Ray and the preparation replaced."""

import pytest
from ray.exceptions import NodeDiedError, OutOfMemoryError

from rnnlane.errors import DataError, JobError, ResourceError
from rnnlane.execution import preparation
from support.events import Remembered
from support.tiny import tiny_experiment


@pytest.fixture
def attempts(monkeypatch):
    """Replaces attempts by these results or errors; returns what was waited for, in seconds."""
    waited = []
    nodes = [{"a": "head", "b": "worker"}, {"a": "head"}]
    monkeypatch.setattr(preparation.time, "sleep", waited.append)
    monkeypatch.setattr(
        "rnnlane.ray_cluster.connect.alive_nodes", lambda: nodes.pop(0) if nodes else {}
    )

    def script(*outcomes):
        left = list(outcomes)

        def prepare(*_arguments, **_options):
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(preparation, "prepare", prepare)
        return waited

    return script


def prepare(events, *overrides):
    return preparation.prepare_on_ray(tiny_experiment(*overrides), storage="x", events=events)


def test_data_is_prepared_again_after_a_lost_node(attempts):
    waited, events = attempts(NodeDiedError("The node died."), "prepared"), Remembered()
    assert prepare(events) == "prepared"
    assert waited == [1.0]
    assert events.notes == [
        "node worker was lost",
        "preparing the data failed: The node died; preparing again in 1 s (restart 1 of 3)",
    ]


def test_the_number_of_restarts_is_limited(attempts):
    attempts(NodeDiedError("The node died."), NodeDiedError("The node died."))
    with pytest.raises(JobError, match="allows 1 restarts, but preparing failed once more"):
        prepare(Remembered(), "runtime.max_restarts=1")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(DataError("no such file"), DataError), (OutOfMemoryError("no memory"), ResourceError)],
)
def test_what_would_fail_again_is_not_tried_again(attempts, error, kind):
    waited = attempts(error)
    with pytest.raises(kind):
        prepare(Remembered())
    assert waited == []
