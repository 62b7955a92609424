"""What is decided when an attempt at training failed, with made-up failures and no cluster."""

import pytest
from ray.exceptions import ActorDiedError, RayActorError
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from rnnlane.errors import JobError
from rnnlane.execution.restarts import Failure, RestartPolicy, describe_failure

EACH = "1 CPUs"
DIED = Failure("worker 1 died")
FULL = Failure("the cluster has no room for 2 workers x 1 CPUs", is_lack_of_room=True)


def test_failures_of_any_kind_share_one_limit_and_wait_longer_each_time():
    policy = RestartPolicy(2)
    first = policy.decide(DIED)
    second = policy.decide(Failure("Ray Train's controller died"))
    assert (first.wait_s, second.wait_s) == (1.0, 2.0)
    assert first.note == (
        "worker 1 died; continuing from the last checkpoint in 1 s (restart 1 of 2)"
    )
    with pytest.raises(JobError) as caught:
        policy.decide(DIED)
    assert caught.value.message == (
        "runtime.max_restarts allows 2 restarts, but training failed once more: worker 1 died"
    )


def test_without_restarts_the_first_failure_is_the_last():
    with pytest.raises(JobError, match="allows 0 restarts"):
        RestartPolicy(0).decide(DIED)


def test_the_wait_has_a_limit():
    policy = RestartPolicy(9)
    assert max(policy.decide(DIED).wait_s for _ in range(9)) == 30.0


def test_waiting_for_room_costs_nothing_and_is_noted_once():
    policy = RestartPolicy(1)
    notes = [policy.decide(FULL).note for _ in range(50)]
    assert notes[0] == "the cluster has no room for 2 workers x 1 CPUs; waiting for free resources"
    assert set(notes[1:]) == {""}
    assert "restart 1 of 1" in policy.decide(DIED).note
    assert policy.decide(FULL).note


def worker_group_error(**failures: Exception) -> WorkerGroupError:
    return WorkerGroupError("boom", {int(rank[1:]): error for rank, error in failures.items()})


GLOO = "[/x/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:4018."
CUT_OFF = UserExceptionWithTraceback(RuntimeError(), f"Traceback ...\nRuntimeError: {GLOO}")
FAILED = UserExceptionWithTraceback(ValueError(), "Traceback ...\nKeyError: 'x'")
DEAD = WorkerHealthCheckFailedError("no health", RayActorError())


@pytest.mark.parametrize(
    (("error", "reason")),
    [
        (worker_group_error(r0=FAILED, r1=DEAD), "worker 1 died"),
        (worker_group_error(r0=FAILED), "worker 0 failed: KeyError: 'x'"),
        (worker_group_error(r1=CUT_OFF), "worker 1 lost its connection to another worker"),
        (worker_group_error(r0=CUT_OFF, r1=DEAD), "worker 1 died"),
        (worker_group_error(), "the workers failed: boom"),
        (OSError("S3 is away"), "the checkpoints could not be reached: S3 is away"),
        (ActorDiedError(), "Ray Train's controller died"),
        (
            ControllerError(RuntimeError("[gloo] connectFullMesh failed")),
            "the workers could not be set up: [gloo] connectFullMesh failed",
        ),
        (
            ControllerError(WorkerGroupStartupFailedError("a worker died early")),
            "the workers could not be set up: a worker died early",
        ),
    ],
)
def test_a_failure_is_named_by_what_died_first(error, reason):
    assert describe_failure(error, worker_needs=EACH) == Failure(reason)


def test_lack_of_room_is_told_apart_from_failures():
    error = ControllerError(WorkerGroupStartupTimeoutError(2))
    assert describe_failure(error, worker_needs=EACH) == FULL
