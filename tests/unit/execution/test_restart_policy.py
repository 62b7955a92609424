"""What is decided when an attempt at something failed."""

import pytest

from rnnlane.errors import CheckpointError, JobError
from rnnlane.execution.restart_policy import Failure, RestartPolicy

DIED = Failure("worker 1 died")
FULL = Failure("the cluster has no room for 2 workers x 1 CPUs", is_lack_of_room=True)


def policy(max_restarts):
    return RestartPolicy(
        max_restarts,
        work="training",
        plan="continuing from the last checkpoint",
        remedy="continue with --resume",
    )


def test_failures_of_any_kind_share_one_limit_and_wait_longer_each_time():
    restarts = policy(2)
    first = restarts.decide(DIED)
    second = restarts.decide(Failure("Ray Train's controller died"))
    assert (first.wait_s, second.wait_s) == (1.0, 2.0)
    assert first.note == (
        "worker 1 died; continuing from the last checkpoint in 1 s (restart 1 of 2)"
    )
    with pytest.raises(JobError) as caught:
        restarts.decide(DIED)
    assert caught.value.message == (
        "runtime.max_restarts allows 2 restarts, but training failed once more: worker 1 died"
    )


def test_without_restarts_the_first_failure_is_the_last():
    with pytest.raises(JobError, match="allows 0 restarts"):
        policy(0).decide(DIED)


def test_the_wait_has_a_limit():
    restarts = policy(9)
    assert max(restarts.decide(DIED).wait_s for _ in range(9)) == 30.0


def test_waiting_for_room_costs_nothing_and_is_noted_once():
    restarts = policy(1)
    notes = [restarts.decide(FULL).note for _ in range(50)]
    assert notes[0] == "the cluster has no room for 2 workers x 1 CPUs; waiting for free resources"
    assert set(notes[1:]) == {""}
    assert "restart 1 of 1" in restarts.decide(DIED).note
    assert restarts.decide(FULL).note


def test_what_no_restart_can_mend_is_raised_at_once():
    broken = CheckpointError("the checkpoint cannot be used", remedy="start a new run")
    with pytest.raises(CheckpointError) as caught:
        policy(3).decide(Failure("worker 0 failed", error=broken))
    assert caught.value is broken
