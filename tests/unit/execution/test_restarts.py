"""What errors of Ray mean for training and for preparing data, with made-up errors."""

import errno
import tempfile
from functools import partial

import pytest
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
)
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from rnnlane.errors import CheckpointError, DataError, JobError, ResourceError
from rnnlane.execution.restart_policy import Failure
from rnnlane.execution.restarts import describe_failure, describe_preparation_failure
from rnnlane.ray_cluster import session

WHERE = {"worker_needs": "1 CPUs", "storage": "/data/checkpoints/x"}
FULL = Failure("the cluster has no room for 2 workers x 1 CPUs", is_lack_of_room=True)


def worker_group_error(**failures: Exception) -> WorkerGroupError:
    return WorkerGroupError("boom", {int(rank[1:]): error for rank, error in failures.items()})


GLOO = "[/x/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:4018."
CUT_OFF = UserExceptionWithTraceback(RuntimeError(), f"Traceback ...\nRuntimeError: {GLOO}")
FAILED = UserExceptionWithTraceback(OSError(), "Traceback ...\nOSError: a disk is away")
DEFECT = UserExceptionWithTraceback(KeyError("x"), "Traceback ...\nKeyError: 'x'")
DEAD = WorkerHealthCheckFailedError("no health", RayActorError())


@pytest.mark.parametrize(
    (("error", "reason")),
    [
        (worker_group_error(r0=FAILED, r1=DEAD), "worker 1 died"),
        (worker_group_error(r0=FAILED), "worker 0 failed: OSError: a disk is away"),
        (worker_group_error(r0=DEFECT, r1=DEAD), "worker 1 died"),
        (
            worker_group_error(r0=DEFECT, r1=CUT_OFF),
            "worker 1 lost its connection to another worker",
        ),
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
    assert describe_failure(error, **WHERE) == Failure(reason)


def test_lack_of_room_is_told_apart_from_failures():
    error = ControllerError(WorkerGroupStartupTimeoutError(2))
    assert describe_failure(error, **WHERE) == FULL


def raised(error: Exception) -> UserExceptionWithTraceback:
    return UserExceptionWithTraceback(error, f"Traceback ...\n{error}")


BROKEN = CheckpointError("the checkpoint cannot be used", remedy="start a new run")


@pytest.mark.parametrize(
    "error",
    [
        worker_group_error(r0=CUT_OFF, r1=raised(BROKEN)),
        worker_group_error(r0=DEAD, r1=raised(BROKEN)),
        worker_group_error(r0=raised(DataError("no rows", remedy="add some"))),
    ],
)
def test_what_a_restart_cannot_mend_is_told_with_its_own_remedy(error):
    failure = describe_failure(error, **WHERE)
    assert isinstance(failure.error, CheckpointError | DataError)
    assert failure.error.remedy in {"start a new run", "add some"}


def test_a_mistake_in_code_is_met_once():
    failure = describe_failure(worker_group_error(r0=DEFECT), **WHERE)
    assert isinstance(failure.error, JobError)
    assert failure.error.message == "worker 0 failed: KeyError: 'x'"


def test_a_worker_that_ray_ended_for_its_memory_names_what_to_lower():
    text = "Memory on the node was 15 GB / 16 GB, which exceeds the memory usage threshold of 0.95."
    dead = WorkerHealthCheckFailedError("no health", RayActorError(error_msg=text))
    failure = describe_failure(worker_group_error(r0=CUT_OFF, r1=dead), **WHERE)
    assert isinstance(failure.error, ResourceError)
    assert "Ray ended worker 1" in failure.error.message
    assert "training.global_batch_size" in failure.error.remedy


def test_any_process_that_ray_ended_for_its_memory_names_what_to_lower():
    text = "... To adjust the kill threshold, set `RAY_memory_usage_threshold` when starting Ray."
    failure = describe_failure(OutOfMemoryError(text), **WHERE)
    assert isinstance(failure.error, ResourceError)
    assert "Ray ended a process of the run" in failure.error.message


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), tempfile.gettempdir()),
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), "/data/x"),
        (
            ControllerError(OSError("Error writing bytes. Detail: No space left on device")),
            "/data/checkpoints/x",
        ),
        (OutOfDiskError("no space"), "RAY_TMPDIR"),
        (ControllerError(OutOfDiskError("no space")), "RAY_TMPDIR"),
    ],
)
def test_a_disk_that_a_person_must_see_to_is_told_at_once(error, place):
    failure = describe_failure(error, **WHERE)
    assert isinstance(failure.error, ResourceError)
    assert failure.error.where == place


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("write", "Traceback ...", cause)


@pytest.mark.parametrize(
    "error", [NodeDiedError("the node died"), task_error(ObjectLostError("ff", None, ""))]
)
def test_preparing_is_tried_again_where_something_was_lost(error):
    failure = describe_preparation_failure(error)
    assert failure.error is None
    assert failure.reason.startswith("preparing the data failed: ")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("no memory"), ResourceError),
        (task_error(OutOfMemoryError("no memory")), ResourceError),
        (RuntimeEnvSetupError("no pip"), JobError),
    ],
)
def test_preparing_is_not_tried_again_where_it_would_fail_again(error, kind):
    assert isinstance(describe_preparation_failure(error).error, kind)


def test_a_mistake_in_the_code_of_a_task_is_raised_as_it_is():
    error = task_error(KeyError("x"))
    with pytest.raises(RayTaskError) as caught:
        describe_preparation_failure(error)
    assert caught.value is error


@pytest.mark.parametrize(
    "describe", [describe_preparation_failure, partial(describe_failure, **WHERE)]
)
def test_a_ray_whose_files_are_gone_is_not_tried_again(describe, tmp_path, monkeypatch):
    """It would wait for ever for a process that cannot start."""
    monkeypatch.setattr(session, "_own", tmp_path)
    (tmp_path / "sockets").mkdir()
    socket = tmp_path / "sockets" / "raylet"
    socket.touch()
    assert describe(ActorDiedError()).error is None
    socket.unlink()
    failure = describe(ActorDiedError())
    assert isinstance(failure.error, JobError)
    assert failure.error.where == str(tmp_path)
    assert "RAY_TMPDIR" in str(failure.error.remedy)
