"""Each private name of Ray Train that rnnlane uses is still there and does what it is used for.

After an upgrade of Ray, what fails here has to be replaced in ray_cluster/internals_train.py.
"""

import inspect
import os
import signal
from types import SimpleNamespace

import pytest
import ray.train
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator
from ray.exceptions import RayActorError
from ray.train.v2._internal import exceptions
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.scaling_policy import scaling_policy
from ray.train.v2.torch import torch_trainer

from rnnlane.ray_cluster import internals_train


def test_env_vars_to_propagate_reach_the_processes_of_ray_train(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(internals_train.START_TIMEOUT_VARIABLE, "30")
    values = {"RAY_ADDRESS": "10.0.0.1:6379", internals_train.START_TIMEOUT_VARIABLE: "20"}
    with internals_train.controller_environment(values):
        assert values.items() <= get_env_vars_to_propagate().items()
    assert "RAY_ADDRESS" not in os.environ
    assert os.environ[internals_train.START_TIMEOUT_VARIABLE] == "30"


def test_the_coordinator_has_the_name_and_the_method_that_release_resources_uses():
    source = inspect.getsource(default_autoscaling_coordinator)
    name, namespace = internals_train.COORDINATOR
    assert f'name="{name}"' in source
    assert f'namespace="{namespace}"' in source
    assert (
        "requester_id"
        in inspect.signature(
            default_autoscaling_coordinator._AutoscalingCoordinatorActor.cancel_request
        ).parameters
    )
    assert 'f"train-{' in inspect.getsource(scaling_policy)


@pytest.mark.parametrize(
    "name",
    ["CheckpointConfig", "FailureConfig", "RunConfig", "ScalingConfig"],
)
def test_the_classes_of_ray_train_v2_are_those_of_ray_train(name):
    assert getattr(internals_train, name) is getattr(ray.train, name)


def test_ray_train_has_the_options_that_turn_its_own_restarts_off():
    internals_train.FailureConfig(
        max_failures=0, controller_failure_limit=0, max_preemption_failures=0
    )
    internals_train.ScalingConfig(num_workers=(1, 2), elastic_resize_monitor_interval_s=1.0)


def test_a_startup_timeout_knows_its_number_of_workers():
    assert internals_train.WorkerGroupStartupTimeoutError(3).num_workers == 3
    controller_error = ray.train.ControllerError(ValueError())
    assert isinstance(controller_error.controller_failure, ValueError)
    assert ray.train.WorkerGroupError("", {1: ValueError()}).worker_failures.keys() == {1}


def test_an_exception_of_a_worker_is_inside_ray_trains_own():
    error = KeyError("x")
    wrapped = exceptions.UserExceptionWithTraceback(error, "Traceback ...")
    assert internals_train.raised_in_worker(wrapped) is error
    assert internals_train.raised_in_worker(error) is error


def test_ctrl_c_raises_in_fit_and_ends_the_workers_only_if_they_started(monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    trainer = object.__new__(internals_train.TorchTrainer)
    trainer.abort()
    aborted = []
    trainer._register_sigint_handler(
        SimpleNamespace(abort=SimpleNamespace(remote=lambda: aborted.append(1)))
    )
    assert signal.getsignal(signal.SIGINT) is handler

    def exited(*_arguments, **_options):
        raise RayActorError

    monkeypatch.setattr(internals_train.ray, "get", exited)
    trainer.abort()
    assert aborted == [1]


def test_ray_trains_handler_of_ctrl_c_is_still_registered_by_the_method_that_is_replaced():
    source = inspect.getsource(torch_trainer.TorchTrainer._initialize_and_run_controller)
    assert "self._register_sigint_handler(controller)" in source
