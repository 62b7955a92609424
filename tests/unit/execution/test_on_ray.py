"""The driver's side of Ray Train, with Ray replaced: attempts, notes, signals and messages."""

import os
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.util.queue import Empty

from rnnlane.errors import JobError, TrainingError
from rnnlane.execution import on_ray
from rnnlane.ray_cluster.internals_train import START_TIMEOUT_VARIABLE
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from support.tiny import tiny_experiment

STORE = SimpleNamespace(root="/data/checkpoints/x")


class Notes(RunEvents):
    def __init__(self):
        self.calls = []

    def progress(self, progress):
        self.calls.append(("progress", progress))

    def epoch(self, history):
        if history == [{}]:
            raise ValueError("a progress bar that is broken")
        self.calls.append(("epoch", history))

    def note(self, text):
        self.calls.append(("note", text))

    @property
    def notes(self):
        return [argument for name, argument in self.calls if name == "note"]


class Inbox:
    def __init__(self, *messages):
        self.messages = list(messages)

    def get(self, timeout):
        message = self.messages.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


@pytest.fixture
def attempts(monkeypatch):
    """Replaces attempts by these outcomes or errors; returns what was waited for, in seconds."""
    waited = []
    nodes = [{"a": "head", "b": "worker"}, {"a": "head"}]
    monkeypatch.setattr(on_ray.time, "sleep", waited.append)
    monkeypatch.setattr(on_ray.cluster, "is_large_enough", lambda *_: True)
    monkeypatch.setattr(
        on_ray.cluster, "alive_nodes", lambda: nodes.pop(0) if len(nodes) > 1 else nodes[0]
    )

    def script(*outcomes):
        left = list(outcomes)

        def attempt(*_arguments, **_options):
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(on_ray, "_attempt", attempt)
        return waited

    return script


def train(events, *overrides):
    config = tiny_experiment("runtime.num_workers=2", *overrides)
    return on_ray.train_on_ray(config, None, store=STORE, events=events, gpus_per_worker=0.0)


def test_a_failed_attempt_is_made_again_and_lost_nodes_are_named(attempts):
    waited, events = attempts(ActorDiedError(), OSError("S3 is away"), "outcome"), Notes()
    assert train(events) == "outcome"
    assert waited == [1.0, 2.0]
    assert events.notes[0] == "node worker was lost"
    assert events.notes[1].startswith("Ray Train's controller died; continuing")
    assert events.notes[2].startswith("the checkpoints could not be reached: S3 is away")


def test_the_number_of_restarts_is_limited(attempts):
    attempts(ActorDiedError(), ActorDiedError())
    with pytest.raises(JobError, match="allows 1 restarts"):
        train(Notes(), "runtime.max_restarts=1")


def test_an_error_of_training_itself_is_not_tried_again(attempts):
    attempts(TrainingError("the loss is NaN"), "outcome")
    with pytest.raises(TrainingError):
        train(Notes())


def test_a_cluster_that_is_too_small_is_waited_for_with_one_note(attempts, monkeypatch):
    attempts("outcome")
    answers = [False, False, False, True]
    monkeypatch.setattr(on_ray.cluster, "is_large_enough", lambda *_: answers.pop(0))
    events = Notes()
    assert train(events) == "outcome"
    assert events.notes == ["waiting for nodes: 2 workers x 1 CPUs are needed"]
    assert answers == []


def test_messages_become_calls_in_order_until_the_last(caplog):
    progress, events = Progress("epoch 1/2", 1, 4), Notes()
    messages = [
        ("progress", progress),
        Empty(),
        ("epoch", [{}]),
        ("note", "x"),
        None,
        ("note", "y"),
    ]
    inbox = Inbox(*messages)
    on_ray._listen(inbox, events)
    assert events.calls == [("progress", progress), ("note", "x")]
    assert inbox.messages == [("note", "y")]
    assert "could not be handled" in caplog.text


def test_a_queue_that_is_gone_ends_the_thread():
    on_ray._listen(Inbox(RayActorError()), Notes())


@pytest.mark.parametrize(
    ("workers", "set_by_user", "expected"),
    [("2", None, None), ("[1, 2]", None, "20"), ("[1, 2]", "60", None)],
)
def test_only_elastic_workers_wait_shortly(monkeypatch, workers, set_by_user, expected):
    monkeypatch.delenv(START_TIMEOUT_VARIABLE, raising=False)
    if set_by_user:
        monkeypatch.setenv(START_TIMEOUT_VARIABLE, set_by_user)
    context = SimpleNamespace(gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    runtime = tiny_experiment(f"runtime.num_workers={workers}").runtime
    variables = on_ray._controller_variables(runtime)
    assert variables["RAY_ADDRESS"] == "10.0.0.1:6379"
    assert variables.get(START_TIMEOUT_VARIABLE) == expected
    assert os.environ.get(START_TIMEOUT_VARIABLE) == set_by_user


def test_a_queue_that_ray_could_not_start_is_not_waited_for(monkeypatch):
    waited = []

    class NeverStarted:
        """Its actor answers nothing, ever."""

        def __init__(self, **_):
            self.actor = SimpleNamespace(put=SimpleNamespace(remote=lambda message: message))

        def put(self, _):
            pytest.fail("this waits for ever")

        def get(self, **_):
            raise RayError

        def shutdown(self, *, force):
            waited.append(force)

    monkeypatch.setattr(on_ray, "Queue", NeverStarted)
    monkeypatch.setattr(
        on_ray.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "a" * 56)
    )
    monkeypatch.setattr(on_ray.ray, "wait", lambda refs, timeout: waited.append((refs, timeout)))
    with on_ray._inbox(RunEvents()):
        pass
    assert waited == [([None], 10), True]
