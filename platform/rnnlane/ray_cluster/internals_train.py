"""Every name of Ray Train that is not part of its public interface; see ``internals``.

The configs and the trainer are public under ``ray.train`` as well, but type checkers see those of
the old Ray Train there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train.v2._internal.constants import (
    ENV_VARS_TO_PROPAGATE,
    WORKER_GROUP_START_TIMEOUT_S_ENV_VAR,
)
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.torch import torch_trainer

__all__ = [
    "COORDINATOR",
    "START_TIMEOUT_VARIABLE",
    "CheckpointConfig",
    "FailureConfig",
    "RunConfig",
    "ScalingConfig",
    "TorchTrainer",
    "WorkerGroupStartupTimeoutError",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
    "controller_environment",
    "raised_in_worker",
    "release_resources",
]

_ABORT_TIMEOUT_S = 30.0

# How long the controller waits for its workers to be placed, in seconds.
START_TIMEOUT_VARIABLE: str = WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
# Name and namespace of the actor that shares the cluster out among controllers.
COORDINATOR = ("AutoscalingCoordinator", "AutoscalingCoordinator")


class TorchTrainer(torch_trainer.TorchTrainer):
    """Ray Train's, but Ctrl-C raises KeyboardInterrupt from ``fit()`` as everywhere else.

    Train's own handler ends the process with exit code 0, and says nothing until its workers have
    ended.
    """

    _controller: Any = None

    def _register_sigint_handler(self, controller: Any) -> None:
        self._controller = controller

    def abort(self) -> None:
        """Ends the controller and the workers after an interrupt, and waits for that."""
        if self._controller is not None:
            with contextlib.suppress(RayError):  # it ends by exiting
                ray.get(self._controller.abort.remote(), timeout=_ABORT_TIMEOUT_S)


@contextlib.contextmanager
def controller_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes that Ray Train starts in the block.

    Train copies a fixed set of this process's variables to them, and has no option for others.
    """
    before = {name: os.environ.get(name) for name in values}
    ENV_VARS_TO_PROPAGATE.update(values)
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def raised_in_worker(failure: BaseException) -> BaseException:
    """What the code of a worker raised, which Ray Train wraps together with its traceback."""
    return failure._base_exc if isinstance(failure, UserExceptionWithTraceback) else failure


def release_resources(train_run_id: str) -> None:
    """Cancels a dead controller's request for resources; does nothing where there is none.

    It would stand for three minutes, in which elastic workers find no room.
    """
    with contextlib.suppress(ValueError, RayError):
        coordinator: Any = ray.get_actor(*COORDINATOR)
        ray.get(coordinator.cancel_request.remote(f"train-{train_run_id}"), timeout=10)
