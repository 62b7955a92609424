"""The clock, the terminal, other commands, and files that change while a command runs."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterator

from faults.catalog import ON_RAY, RESUMABLE, Ends, fault
from faults.machine import TEMPORARY, WORK, Machine, end

_HOUR_S = 3600.0


def _set_clock(offset_s: float) -> None:
    with (WORK / "clock").open("r+b") as file:
        file.write(struct.pack("<d", offset_s))


@fault("clock-forward", "the clock is set forward by up to three days")
def _clock_forward(machine: Machine) -> None:
    _set_clock(machine.random.uniform(0.01, 72) * _HOUR_S)


@fault("clock-back", "the clock is set back by up to three days")
def _clock_back(machine: Machine) -> None:
    _set_clock(-machine.random.uniform(0.01, 72) * _HOUR_S)


@fault("clock-jumps", "the clock is set forward for a while and back again", lasts_s=(0.5, 5.0))
def _clock_jumps(machine: Machine) -> Iterator[None]:
    _set_clock(machine.random.uniform(0.01, 72) * _HOUR_S)
    yield
    _set_clock(0.0)


@fault("stdout-closed", "nobody reads stdout any more, as behind `| head`", ends=Ends.DIES)
def _stdout_closed(machine: Machine) -> None:
    assert machine.command is not None
    machine.command.close("stdout")


@fault("stderr-closed", "nobody reads stderr any more", ends=Ends.DIES)
def _stderr_closed(machine: Machine) -> None:
    assert machine.command is not None
    machine.command.close("stderr")


@fault("output-not-read", "the terminal shows nothing for a while", lasts_s=(3.0, 10.0))
def _output_not_read(machine: Machine) -> Iterator[None]:
    assert machine.command is not None
    command = machine.command
    command.stop_reading()
    yield
    command.go_on_reading()


# Before there is a record, the second command would start a run of its own.
@fault(
    "resumed-twice",
    "a second command resumes the run that is under way",
    on=RESUMABLE,
    moments=("record", "checkpoint", "results", "finished"),
)
def _resumed_twice(machine: Machine) -> Iterator[None]:
    second = machine.start(*machine.resume, is_side=True)
    yield
    second.wait(240)


@fault(
    "same-command-twice",
    "the same new command runs at the same time",
    on={"run", "fresh", "baseline"},
    moments=("start",),
    may_add_runs=True,
    lasts_s=None,
)
def _same_command_twice(machine: Machine) -> Iterator[None]:
    assert machine.command is not None
    second = machine.start(*machine.command.arguments, is_side=True)
    yield
    second.wait(240)


@fault("runs-listed", "`rnnlane runs` closes abandoned runs meanwhile")
def _runs_listed(machine: Machine) -> Iterator[None]:
    second = machine.start("runs", is_side=True)
    yield
    second.wait(240)


# A command that has only begun to look may find its prepared data gone, and prepares it again.
@fault("cleaned", "`rnnlane clean` removes what it may meanwhile")
def _cleaned(machine: Machine) -> Iterator[None]:
    second = machine.start("clean", "--yes", is_side=True)
    yield
    second.wait(240)


@fault("experiment-removed", "the experiment file is removed", lasts_s=None, ends=Ends.FAILS)
def _experiment_removed(machine: Machine) -> Iterator[None]:
    text = machine.experiment.read_text()
    machine.experiment.unlink()
    yield
    machine.experiment.write_text(text)


@fault("data-removed", "the data file is removed", lasts_s=None, ends=Ends.FAILS)
def _data_removed(machine: Machine) -> Iterator[None]:
    file = machine.experiment.parent / "reviews.csv"
    away = WORK / "reviews.csv"
    file.rename(away)
    yield
    away.rename(file)


@fault("folder-renamed", "the working directory is renamed", lasts_s=None, ends=Ends.FAILS)
def _folder_renamed(machine: Machine) -> Iterator[None]:
    folder = machine.experiment.parent
    away = folder.with_name("renamed")
    folder.rename(away)
    yield
    away.rename(folder)


@fault("other-ray", "another Ray is started on the machine", on=ON_RAY, lasts_s=None)
def _other_ray(machine: Machine) -> Iterator[None]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--port=7399", "--node-ip-address=127.0.0.1", "--num-cpus=1"]
    command += ["--include-dashboard=false", "--disable-usage-stats", "--min-worker-port=20000"]
    command += ["--max-worker-port=20999", "--object-store-memory=80000000"]
    other = machine.start_service(command, log=WORK / "other-ray.log")
    yield
    end([other, *other.children(recursive=True)])


@fault("session-removed", "the local Ray's files are removed", on=ON_RAY, ends=Ends.DIES)
def _session_removed(_: Machine) -> None:
    # As a cleaner of /tmp does: files that are open stay, new ones cannot be made.
    for session in sorted(TEMPORARY.glob("ray/session_2*")):
        for file in sorted(session.rglob("*"), reverse=True):
            with contextlib.suppress(OSError):
                file.rmdir() if file.is_dir() else file.unlink()


@fault("busy", "another program takes every CPU for a while", lasts_s=(4.0, 10.0))
def _busy(machine: Machine) -> Iterator[None]:
    loop = [sys.executable, "-c", "while True: pass"]
    others = [
        machine.start_service(loop, log=WORK / "busy.log") for _ in range(2 * (os.cpu_count() or 1))
    ]
    yield
    end(others)
