"""What an error of Ray means for training, and for preparing data."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ray.exceptions import (
    ActorDiedError,
    AuthenticationError,
    OutOfDiskError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
    TaskUnschedulableError,
)
from ray.train import ControllerError, PreemptionError, TrainingFailedError, WorkerGroupError

from rnnlane.errors import (
    JobError,
    ResourceError,
    RnnlaneError,
    disk_error,
    first_line,
    is_disk_error,
    last_line,
    redact,
)
from rnnlane.execution.restart_policy import Failure
from rnnlane.ray_cluster.internals_train import (
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
    raised_in_worker,
)
from rnnlane.ray_cluster.session import lost_files

# Messages of a worker whose peer is gone; it notices before Ray does.
_CUT_OFF = re.compile(r"gloo.*(Connection|Timed out)|ncclRemoteError|NCCL.*timeout", re.IGNORECASE)
# Of Ray's memory monitor. The kernel's cannot be told from any other SIGKILL.
_KILLED_FOR_MEMORY = re.compile(r"memory[ _]usage[ _]threshold|low on memory")
_DEATHS = (RayError, WorkerHealthCheckFailedError, WorkerHealthCheckTimeoutError)


def describe_failure(
    error: TrainingFailedError | RayError | OSError, *, worker_needs: str, storage: str
) -> Failure:
    """What an error of Ray Train means for the run.

    Args:
        error: what ``TorchTrainer.fit()`` raised; an OSError is from reading checkpoints.
        worker_needs: the resources of one worker, such as "1 CPUs".
        storage: folder or URI of the checkpoints, where Ray Train's controller writes.
    """
    if (fatal := _of_the_machine(error, storage)) is not None:
        return fatal
    if isinstance(error, ControllerError):
        cause = error.controller_failure
        if isinstance(cause, WorkerGroupStartupTimeoutError):
            reason = f"the cluster has no room for {cause.num_workers} workers x {worker_needs}"
            return Failure(reason, is_lack_of_room=True)
        reason = f"the workers could not be set up: {last_line(cause)}"
    elif isinstance(error, PreemptionError):
        reason = "a node is being preempted"
    elif isinstance(error, WorkerGroupError):
        return _failed_worker(error)
    elif isinstance(error, ActorDiedError):
        reason = "Ray Train's controller died"
    elif isinstance(error, OSError):
        reason = f"the checkpoints could not be reached: {last_line(error)}"
    else:
        reason = f"training failed: {last_line(error)}"
    return Failure(reason)


def _of_the_machine(
    error: TrainingFailedError | RayError | OSError, storage: str
) -> Failure | None:
    """A failure that no restart can mend, as a disk or memory is full, or Ray's files are gone."""
    if (lost := lost_files()) is not None:
        return Failure("Ray's files are gone", error=_without_files(lost))
    trouble = error.controller_failure if isinstance(error, ControllerError) else error
    if isinstance(trouble, OutOfDiskError):
        return Failure("a disk is full", error=_out_of_disk())
    if not isinstance(error, WorkerGroupError) and is_disk_error(trouble):
        place = storage if isinstance(error, ControllerError) else tempfile.gettempdir()
        return Failure("a disk is full", error=disk_error(trouble, redact(place)))
    if isinstance(error, RayError) and _KILLED_FOR_MEMORY.search(str(error)):
        return Failure("Ray ended a process", error=_killed_for_memory("a process of the run"))
    return None


def _failed_worker(error: WorkerGroupError) -> Failure:
    """The failure that explains the others: a worker that dies or gives up makes them fail too."""
    found = [_of_worker(rank, cause) for rank, cause in sorted(error.worker_failures.items())]
    if not found:
        return Failure(f"the workers failed: {last_line(error)}")
    return min(found, key=lambda each: each[0])[1]


def _of_worker(rank: int, cause: BaseException) -> tuple[int, Failure]:
    """What happened to one worker, and how little it explains: from 0, a cause, to 3."""
    raised = raised_in_worker(cause)
    if isinstance(raised, RnnlaneError):
        return 0, Failure(f"worker {rank} failed: {raised}", error=raised)
    if _KILLED_FOR_MEMORY.search(str(cause)):
        return 0, Failure(f"worker {rank} died", error=_killed_for_memory(f"worker {rank}"))
    if isinstance(cause, _DEATHS):
        return 1, Failure(f"worker {rank} died")
    if _CUT_OFF.search(str(cause)):
        return 2, Failure(f"worker {rank} lost its connection to another worker")
    reason = f"worker {rank} failed: {last_line(cause)}"
    defect = JobError(reason, remedy="run with -v to see the worker's log")
    return 3, Failure(reason, error=defect if _is_defect(raised) else None)


def _is_defect(error: BaseException) -> bool:
    """Whether code is at fault, which would fail again."""
    defects = (TypeError, ValueError, LookupError, AttributeError, ImportError, AssertionError)
    return isinstance(error, defects) and not isinstance(error, RayError)


def _without_files(folder: Path) -> JobError:
    return JobError(
        "Ray's files must stay while it runs, but something removed them",
        where=str(folder),
        remedy="run again, or continue with --resume; if a cleaner of temporary files did it, name "
        "another folder in RAY_TMPDIR",
    )


def _out_of_disk() -> ResourceError:
    return ResourceError(
        "Ray has no space left on a node's disk for objects that do not fit its memory",
        where="RAY_TMPDIR",
        remedy="free some space, or start Ray with RAY_TMPDIR on a larger disk",
    )


def _killed_for_memory(what: str) -> ResourceError:
    return ResourceError(
        f"training needs more memory than a node has: Ray ended {what}",
        where="runtime.num_workers",
        remedy="lower training.global_batch_size or text.max_length, or put fewer workers on a "
        "node by a larger runtime.cpus_per_worker",
    )


def describe_preparation_failure(error: RayError) -> Failure:
    """What an error of Ray means for the preparation of data.

    Raises:
        RayError: ``error``, where the code of a task is at fault.
    """
    cause = error.cause if isinstance(error, RayTaskError) else error
    if not isinstance(cause, RayError):
        raise error
    if (lost := lost_files()) is not None:
        return Failure("Ray's files are gone", error=_without_files(lost))
    reason = f"preparing the data failed: {first_line(cause).rstrip('.')}"
    if isinstance(cause, OutOfMemoryError):
        return Failure(
            reason,
            error=ResourceError(
                "preparing the data needs more memory than a node has: Ray ended a task",
                remedy="start Ray's nodes with more memory, or with fewer CPUs: fewer tasks run "
                "at once then",
            ),
        )
    if isinstance(cause, AuthenticationError | RuntimeEnvSetupError | TaskUnschedulableError):
        return Failure(reason, error=JobError(reason, remedy="look at the cluster's own logs"))
    return Failure(reason)
