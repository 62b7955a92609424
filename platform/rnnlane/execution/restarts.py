"""What to do when an attempt at training failed: restart, wait for the cluster, or give up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ray.exceptions import ActorDiedError, RayError
from ray.train import ControllerError, PreemptionError, TrainingFailedError, WorkerGroupError

from rnnlane.errors import JobError, last_line
from rnnlane.ray_cluster.internals_train import (
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)

MAX_BACKOFF_S = 30.0
# Messages of a worker whose peer is gone; it notices before Ray does.
_CUT_OFF = re.compile(r"gloo.*(Connection|Timed out)|ncclRemoteError|NCCL.*timeout", re.IGNORECASE)
_DEATHS = (RayError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended without a result.

    Attributes:
        reason: a clause for people, such as "worker 1 died".
        is_lack_of_room: nothing broke; the cluster had no free resources for the workers.
    """

    reason: str
    is_lack_of_room: bool = False


@dataclass(frozen=True)
class Restart:
    """Permission for another attempt.

    Attributes:
        wait_s: seconds to wait first.
        note: a sentence for people; empty where it would only repeat the previous one.
    """

    wait_s: float
    note: str


class RestartPolicy:
    """Counts failures of any kind against one limit; the wait doubles with each.

    Lack of room does not count: a run waits as long as it takes for another run to end or for a
    lost node to come back.
    """

    def __init__(self, max_restarts: int):
        self._max_restarts = max_restarts
        self._num_restarts = 0
        self._is_waiting = False

    def decide(self, failure: Failure) -> Restart:
        """What to do after a failure.

        Raises:
            JobError: the limit is reached.
        """
        if failure.is_lack_of_room:
            note = "" if self._is_waiting else f"{failure.reason}; waiting for free resources"
            self._is_waiting = True
            return Restart(0.0, note)
        self._is_waiting = False
        if self._num_restarts == self._max_restarts:
            raise JobError(
                f"runtime.max_restarts allows {self._max_restarts} restarts, but training failed "
                f"once more: {failure.reason}",
                remedy="run with -v to see the workers' log; then continue with --resume",
            )
        wait_s = min(MAX_BACKOFF_S, 2.0**self._num_restarts)
        self._num_restarts += 1
        return Restart(
            wait_s,
            f"{failure.reason}; continuing from the last checkpoint in {wait_s:g} s "
            f"(restart {self._num_restarts} of {self._max_restarts})",
        )


def describe_failure(
    error: TrainingFailedError | RayError | OSError, *, worker_needs: str
) -> Failure:
    """What an error of Ray Train means for the run.

    Args:
        error: what ``TorchTrainer.fit()`` raised; an OSError is from reading checkpoints.
        worker_needs: the resources of one worker, such as "1 CPUs".
    """
    if isinstance(error, ControllerError):
        cause = error.controller_failure
        if isinstance(cause, WorkerGroupStartupTimeoutError):
            reason = f"the cluster has no room for {cause.num_workers} workers x {worker_needs}"
            return Failure(reason, is_lack_of_room=True)
        reason = f"the workers could not be set up: {last_line(cause)}"
    elif isinstance(error, PreemptionError):
        reason = "a node is being preempted"
    elif isinstance(error, WorkerGroupError):
        reason = _failed_worker(error)
    elif isinstance(error, ActorDiedError):
        reason = "Ray Train's controller died"
    elif isinstance(error, OSError):
        reason = f"the checkpoints could not be reached: {last_line(error)}"
    else:
        reason = f"training failed: {last_line(error)}"
    return Failure(reason)


def _failed_worker(error: WorkerGroupError) -> str:
    """The worker that died, else the first that failed: its death makes the others fail."""
    failures = sorted(error.worker_failures.items())
    for rank, cause in failures:
        if isinstance(cause, _DEATHS):
            return f"worker {rank} died"
    for rank, cause in failures:
        if _CUT_OFF.search(str(cause)):
            return f"worker {rank} lost its connection to another worker"
        return f"worker {rank} failed: {last_line(cause)}"
    return f"the workers failed: {last_line(error)}"
