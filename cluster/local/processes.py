"""Processes that outlive the one that started them, and how to stop exactly those."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rnnlane.errors import JobError, ResourceError

# Every process of a cluster inherits it, also those whose parent died.
MARK = "RNNLANE_LOCAL_CLUSTER"
START_TIMEOUT_S = 300.0
END_TIMEOUT_S = 45.0
_LOG_LINES = 3


@dataclass(frozen=True)
class Service:
    """A process that was started.

    Attributes:
        started_at: in seconds since 1970; with the pid it means one process, and no later one.
        end_signal: what ends it in good order.
    """

    name: str
    pid: int
    started_at: float
    end_signal: int

    def process(self) -> psutil.Process | None:
        """The process; None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive and abs(process.create_time() - self.started_at) < 1 else None


def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    user: str | None = None,
    end_signal: int = signal.SIGTERM,
) -> Service:
    """Starts a process in its own session, so that Ctrl-C in a terminal does not reach it."""
    account = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log.open("ab") as target:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            start_new_session=True,
            **account,  # type: ignore[arg-type]
        )
    created = psutil.Process(process.pid).create_time()
    return Service(name, process.pid, created, end_signal)


def wait_until(service: Service, ready: Callable[[], bool], *, log: Path) -> None:
    """Waits until a service answers.

    Raises:
        JobError: it ended, or took longer than ``START_TIMEOUT_S``.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if service.process() is None:
            raise JobError(f"{service.name} ended at once: {_last_lines(log)}", where=str(log))
        if time.monotonic() > deadline:
            raise JobError(
                f"{service.name} must answer within {START_TIMEOUT_S:.0f} s, but did not: "
                f"{_last_lines(log)}",
                where=str(log),
            )
        time.sleep(0.2)


def end(service: Service) -> None:
    """Stops a service and what it has started: by SIGTERM, then by SIGKILL."""
    process = service.process()
    if process is None:
        return
    family = [process, *process.children(recursive=True)]
    process.send_signal(service.end_signal)
    end_for_good(psutil.wait_procs(family, timeout=END_TIMEOUT_S)[1])


def end_for_good(processes: Sequence[psutil.Process]) -> None:
    """``kill -9``; processes that have ended meanwhile are ignored."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


def marked(mark: str) -> list[psutil.Process]:
    """The processes that inherited ``MARK`` with this value, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def refuse_taken_ports(ports: Mapping[str, int]) -> None:
    """Checks that the ports are free.

    Raises:
        ResourceError: names all that are taken.
    """
    taken = [f"{port} ({name})" for name, port in ports.items() if not _is_free(port)]
    if taken:
        raise ResourceError(
            f"the cluster needs {len(ports)} free ports, but in use is {', '.join(taken)}",
            where="127.0.0.1",
            remedy="end what uses them, or choose others with --port",
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def inherited(**changes: str) -> dict[str, str]:
    """This process's environment, without variables that name other servers."""
    foreign = ("RAY_", "MLFLOW_", "_MLFLOW_", "RNNLANE_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, **changes}


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-_LOG_LINES:]) or "it printed nothing"
