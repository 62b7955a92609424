"""What to do when training was lost: go on, wait for the cluster, or give up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ray.exceptions import ActorDiedError, RayError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2.api.exceptions import (
    ControllerError,
    PreemptionError,
    TrainingFailedError,
    WorkerGroupError,
)

from rnnlane.errors import JobError

MAX_BACKOFF_S = 30.0
# A worker notices before Ray does that another one's node is gone.
_CUT_OFF = re.compile(r"gloo.*(Connection|Timed out)|ncclRemoteError|NCCL.*timeout", re.IGNORECASE)
_DEATHS = (RayError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)


@dataclass(frozen=True)
class Loss:
    """Why an attempt ended without a result.

    Attributes:
        what: what was lost, as the subject of a sentence about it.
        is_want_of_room: nothing failed; the cluster had no room for the workers.
    """

    what: str
    is_want_of_room: bool = False


@dataclass(frozen=True)
class Restart:
    """Leave to try again.

    Attributes:
        wait_s: seconds to wait first.
        note: a sentence for people; empty where it would only repeat the last one.
    """

    wait_s: float
    note: str


class RestartPolicy:
    """Counts losses of any kind against one budget; the wait doubles with each.

    Want of room is not counted: a run queues for its workers as long as it must, be it for another
    run to end or for a lost node to come back.
    """

    def __init__(self, max_restarts: int):
        self._max_restarts = max_restarts
        self._num_restarts = 0
        self._is_waiting = False

    def decide(self, loss: Loss) -> Restart:
        """What to do now.

        Raises:
            JobError: the budget is used up.
        """
        if loss.is_want_of_room:
            note = "" if self._is_waiting else f"{loss.what}; waiting until it has"
            self._is_waiting = True
            return Restart(0.0, note)
        self._is_waiting = False
        if self._num_restarts == self._max_restarts:
            raise JobError(
                f"runtime.max_restarts allows {self._max_restarts} restarts, but training was lost "
                f"once more: {loss.what}",
                remedy="run with -v to see the workers' log; then go on with --resume",
            )
        wait_s = min(MAX_BACKOFF_S, 2.0**self._num_restarts)
        self._num_restarts += 1
        return Restart(
            wait_s,
            f"{loss.what}; going on from the last checkpoint in {wait_s:g} s "
            f"(restart {self._num_restarts} of {self._max_restarts})",
        )


def describe_loss(error: TrainingFailedError | RayError | OSError, *, each: str) -> Loss:
    """What an error of Ray Train means for the run.

    Args:
        error: what ``TorchTrainer.fit()`` raised; an OSError comes of reading checkpoints.
        each: what a worker needs, as in "1 CPUs".
    """
    if isinstance(error, ControllerError):
        cause = error.controller_failure
        if isinstance(cause, WorkerGroupStartupTimeoutError):
            what = f"the cluster has no room for {cause.num_workers} workers x {each}"
            return Loss(what, is_want_of_room=True)
        what = f"the workers could not be set up: {last_line(cause)}"
    elif isinstance(error, PreemptionError):
        what = "a node is being taken away"
    elif isinstance(error, WorkerGroupError):
        what = _failed_worker(error)
    elif isinstance(error, ActorDiedError):
        what = "Ray Train's controller died"
    elif isinstance(error, OSError):
        what = f"the checkpoints could not be reached: {last_line(error)}"
    else:
        what = f"training was lost: {last_line(error)}"
    return Loss(what)


def _failed_worker(error: WorkerGroupError) -> str:
    """The worker that died, else the first that failed: the others fail because one died."""
    failures = sorted(error.worker_failures.items())
    for rank, cause in failures:
        if isinstance(cause, _DEATHS):
            return f"worker {rank} died"
    for rank, cause in failures:
        if _CUT_OFF.search(str(cause)):
            return f"worker {rank} lost its connection to another"
        return f"worker {rank} failed: {last_line(cause)}"
    return f"the workers failed: {last_line(error)}"


def last_line(error: BaseException) -> str:
    """The line of a message that says the most, where it holds a traceback."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
