"""Limits of a process: memory, open files, the size of files."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

import psutil

from faults.catalog import LOCAL, Ends, fault
from faults.machine import Machine

_A_WHILE_S = (2.0, 8.0)


@contextlib.contextmanager
def _limited(process: psutil.Process, which: int, value: int) -> Iterator[None]:
    """Lowers a limit of a process that runs; SIGXFSZ is ignored by Python, so writes just fail."""
    _, hard = process.rlimit(which)
    process.rlimit(which, (value, hard))
    try:
        yield
    finally:
        with contextlib.suppress(psutil.Error):
            process.rlimit(which, (hard, hard))


def _used_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().vms)


@fault("driver-no-memory", "the driver gets no more memory", ends=Ends.DIES, lasts_s=None)
def _driver_no_memory(machine: Machine) -> Iterator[None]:
    driver = machine.driver()
    with _limited(driver, resource.RLIMIT_AS, _used_bytes(driver) + (4 << 20)):
        yield


@fault(
    "worker-no-memory",
    "a worker gets no more memory for a while",
    on={"workers"},
    moments=("record", "checkpoint"),
    ends=Ends.FAILS,
    lasts_s=_A_WHILE_S,
)
def _worker_no_memory(machine: Machine) -> Iterator[None]:
    worker = machine.one("ray::RayTrainWorker")
    with _limited(worker, resource.RLIMIT_AS, _used_bytes(worker)):
        yield


@fault(
    "trial-no-memory",
    "a trial's process gets no more memory for a while",
    on={"search"},
    moments=("record", "checkpoint"),
    ends=Ends.FAILS,
    lasts_s=_A_WHILE_S,
)
def _trial_no_memory(machine: Machine) -> Iterator[None]:
    trial = machine.one("ray::ImplicitFunc")
    with _limited(trial, resource.RLIMIT_AS, _used_bytes(trial)):
        yield


@fault("driver-no-files", "the driver can open no more files", ends=Ends.DIES, lasts_s=None)
def _driver_no_files(machine: Machine) -> Iterator[None]:
    driver = machine.driver()
    with _limited(driver, resource.RLIMIT_NOFILE, driver.num_fds()):
        yield


@fault(
    "driver-no-files-briefly",
    "the driver can open no more files for a while",
    ends=Ends.DIES,
    lasts_s=_A_WHILE_S,
)
def _driver_no_files_briefly(machine: Machine) -> Iterator[None]:
    driver = machine.driver()
    with _limited(driver, resource.RLIMIT_NOFILE, driver.num_fds()):
        yield


@fault(
    "quota",
    "no file of the driver may grow beyond 16 KiB",
    on=LOCAL,
    ends=Ends.FAILS,
    lasts_s=None,
)
def _quota(machine: Machine) -> Iterator[None]:
    with _limited(machine.driver(), resource.RLIMIT_FSIZE, 16 << 10):
        yield
