"""Processes that are killed, stopped for a while, or interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import psutil

from faults.catalog import EVERY, LOCAL, ON_RAY, Ends, fault
from faults.machine import Machine, end, wait_until
from faults.targets import appeared

_WORKER, _CONTROLLER = "ray::RayTrainWorker", "ray::TrainController"
_TRIAL = "ray::ImplicitFunc"
_GCS, _DASHBOARD, _AGENT = "gcs/gcs_server", "dashboard/dashboard.py", "dashboard/agent.py"
_RAYLET, _LOG_MONITOR = "raylet/raylet", "log_monitor.py"
_TRAINING = ("record", "checkpoint")
_STOPPED_S = (3.0, 12.0)
# Longer than the others wait for a worker: runtime.collective_timeout_s is 20 s here.
_LONG_STOPPED_S = (3.0, 60.0)


@fault("driver-killed", "the driver is killed (SIGKILL)", ends=Ends.DIES)
def _driver_killed(machine: Machine) -> None:
    machine.driver().kill()


@fault("all-killed", "the driver and everything that it started is killed at once", ends=Ends.DIES)
def _all_killed(machine: Machine) -> None:
    kill_everything(machine)


def kill_everything(machine: Machine) -> None:
    """As a power cut would; a cluster's head is started again."""
    if not machine.is_job:
        end(machine.strays())
        return
    from faults.cluster import start_head

    end(machine.family())
    start_head(machine)


@fault("worker-killed", "one training worker is killed", on={"workers"}, moments=_TRAINING)
def _worker_killed(machine: Machine) -> None:
    machine.one(_WORKER).kill()


@fault("worker-ended", "one training worker gets SIGTERM", on={"workers"}, moments=_TRAINING)
def _worker_ended(machine: Machine) -> None:
    machine.one(_WORKER).terminate()


@fault("workers-killed", "all workers are killed at once", on={"workers"}, moments=_TRAINING)
def _workers_killed(machine: Machine) -> None:
    machine.one(_WORKER)
    end(machine.processes(_WORKER))


@fault("controller-killed", "Ray Train's controller is killed", on={"workers"}, moments=_TRAINING)
def _controller_killed(machine: Machine) -> None:
    machine.one(_CONTROLLER).kill()


@fault("queue-killed", "the queue from the workers to the driver is killed", on={"workers"})
def _queue_killed(machine: Machine) -> None:
    machine.one("ray::_QueueActor").kill()


@fault("trial-killed", "a trial's process is killed", on={"search"}, moments=_TRAINING)
def _trial_killed(machine: Machine) -> None:
    machine.one(_TRIAL).kill()


@fault(
    "reporting-trial-killed",
    "a trial's process is killed as it writes a checkpoint and reports",
    on={"search"},
    moments=("checkpoint",),
)
def _reporting_trial_killed(machine: Machine) -> None:
    before = set(appeared("checkpoint"))
    deadline = time.monotonic() + 5
    while not set(appeared("checkpoint")) - before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(machine.random.uniform(0, 0.03))
    machine.one(_TRIAL).kill()


@fault("raylet-killed", "the raylet is killed", on=ON_RAY | {"job"}, ends=Ends.DIES)
def _raylet_killed(machine: Machine) -> Iterator[None]:
    machine.one(_RAYLET).kill()
    yield
    _restart_head(machine)


@fault("gcs-killed", "Ray's control store is killed", on=ON_RAY | {"job"}, ends=Ends.DIES)
def _gcs_killed(machine: Machine) -> Iterator[None]:
    machine.one(_GCS).kill()
    yield
    _restart_head(machine)


@fault("dashboard-killed", "Ray's dashboard is killed", on=ON_RAY)
def _dashboard_killed(machine: Machine) -> None:
    machine.one(_DASHBOARD).kill()


@fault("agent-killed", "the agent of the node's dashboard is killed", on=ON_RAY, ends=Ends.DIES)
def _agent_killed(machine: Machine) -> None:
    machine.one(_AGENT).kill()


@fault("log-monitor-killed", "Ray's log monitor is killed", on=ON_RAY)
def _log_monitor_killed(machine: Machine) -> None:
    machine.one(_LOG_MONITOR).kill()


@fault("head-killed", "the cluster's head is killed with its job", on={"job"}, ends=Ends.DIES)
def _head_killed(machine: Machine) -> None:
    kill_everything(machine)


@fault("submit-killed", "the command that follows the job is killed", on={"job"}, ends=Ends.DIES)
def _submit_killed(machine: Machine) -> None:
    assert machine.command is not None
    machine.command.process.kill()


@fault("driver-stopped", "the driver stands still (SIGSTOP) for a while", lasts_s=_LONG_STOPPED_S)
def _driver_stopped(machine: Machine) -> Iterator[None]:
    with _stopped([machine.driver()]):
        yield


@fault("worker-stopped", "a worker stands still", on={"workers"}, lasts_s=_LONG_STOPPED_S)
def _worker_stopped(machine: Machine) -> Iterator[None]:
    with _stopped([machine.one(_WORKER)]):
        yield


@fault("trial-stopped", "a trial's process stands still", on={"search"}, lasts_s=_STOPPED_S)
def _trial_stopped(machine: Machine) -> Iterator[None]:
    with _stopped([machine.one(_TRIAL)]):
        yield


@fault("raylet-stopped", "the raylet stands still", on=ON_RAY, lasts_s=_STOPPED_S)
def _raylet_stopped(machine: Machine) -> Iterator[None]:
    with _stopped([machine.one(_RAYLET)]):
        yield


@fault("gcs-stopped", "Ray's control store stands still", on=ON_RAY, lasts_s=_STOPPED_S)
def _gcs_stopped(machine: Machine) -> Iterator[None]:
    with _stopped([machine.one(_GCS)]):
        yield


@fault("all-stopped", "everything stands still, as when a lid is closed", lasts_s=(5.0, 20.0))
def _all_stopped(machine: Machine) -> Iterator[None]:
    with _stopped(machine.family()):
        yield


@contextlib.contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.resume()


@fault("ctrl-c", "Ctrl-C in the terminal: SIGINT to all of its processes", ends=Ends.STOPS)
def _ctrl_c(machine: Machine) -> None:
    assert machine.command is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(machine.command.process.pid, signal.SIGINT)


@fault("ctrl-c-twice", "Ctrl-C twice, the second within a second", on=LOCAL, ends=Ends.DIES)
def _ctrl_c_twice(machine: Machine) -> None:
    assert machine.command is not None
    group = machine.command.process.pid
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGINT)
        time.sleep(machine.random.uniform(0.05, 1.0))
        os.killpg(group, signal.SIGINT)


@fault("driver-ended", "SIGTERM to the driver", on=EVERY, ends=Ends.STOPS)
def _driver_ended(machine: Machine) -> None:
    machine.driver().terminate()


@fault("terminal-closed", "SIGHUP to the driver: its terminal is gone", ends=Ends.DIES)
def _terminal_closed(machine: Machine) -> None:
    machine.driver().send_signal(signal.SIGHUP)


def _restart_head(machine: Machine) -> None:
    """A cluster's head without one of its processes ends, and a supervisor starts it again."""
    if machine.is_job:
        from faults.cluster import start_head

        end(machine.family())
        wait_until(lambda: not machine.processes(_RAYLET, _GCS), what="the head's end")
        start_head(machine)
