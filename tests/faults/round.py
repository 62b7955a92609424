"""One round, inside a machine of its own: `python -m faults.round PLAN FOLDER REFERENCES`.

Writes ``report.json`` into the folder; if the round failed, also what the machine held.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from faults.catalog import Ends, Kind, all_kinds
from faults.checks import outcome, problems
from faults.cluster import start_head
from faults.kinds.processes import kill_everything
from faults.machine import (
    DASHBOARD_PORT,
    DISKS,
    HOME,
    ROOT,
    STORE_URI,
    TEMPORARY,
    WORK,
    Command,
    Machine,
    MissedError,
    StoreServer,
    end,
    living,
    prepare_disks,
)
from faults.plan import Plan, PlannedFault
from faults.targets import TARGETS, Moments, present, records, reviews

# A command takes 5 to 30 s on two quiet cores.
LIMIT_S = float(os.environ.get("RNNLANE_FAULTS_LIMIT_S", "240"))
# Ray's processes notice within seconds, on a busy machine within a minute, that a driver is dead.
STRAYS_NOTED_S, STRAYS_LIMIT_S = 10.0, 120.0
MAX_COMMANDS = 6


@dataclass
class Report:
    """What came of a round.

    Attributes:
        log: what happened, with seconds since the first command.
        problems: why the round failed; empty if it passed.
        num_applied: faults that found their moment.
        seconds: from the first command to the last check.
    """

    log: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    num_applied: int = 0
    seconds: float = 0.0


class Round:
    """Runs a plan on this machine.

    Args:
        plan: without faults, it makes the reference.
        references: folder with a migrated store, prepared data and the outcomes to compare with.
    """

    def __init__(self, plan: Plan, references: Path):
        self._plan = plan
        self._kinds = all_kinds()
        self._target = TARGETS[plan.target]
        self._references = references
        self._started_at = time.monotonic()
        self._lock = threading.Lock()
        self._pending = list(plan.faults)
        self._killed_for: set[str] = set()
        self._applied: list[tuple[int, Kind]] = []
        self.report = Report()
        self._set_up()

    def _set_up(self) -> None:
        target = self._target
        prepare_disks()
        HOME.mkdir()
        project = WORK / "project"
        (project / "small.yaml").write_text(target.experiment())
        (project / "reviews.csv").write_text(reviews(target.num_rows))
        (WORK / "clock").write_bytes(struct.pack("<d", 0.0))
        environment = {}
        if any(fault.kind.startswith("clock") for fault in self._plan.faults):
            clock = f"{ROOT / 'tests/faults/clock'}{os.pathsep}{ROOT / 'platform'}"
            environment |= {"PYTHONPATH": clock, "RNNLANE_FAULTS_CLOCK": str(WORK / "clock")}
        if self._plan.store == "server":
            environment["MLFLOW_TRACKING_URI"] = STORE_URI
        if target.is_job:
            environment["RAY_ADDRESS"] = f"http://127.0.0.1:{DASHBOARD_PORT}"
        self.machine = Machine(environment)
        self.machine.resume = list(target.resume)
        self.machine.is_job = target.is_job
        caches = self._references / "caches"
        if caches.exists():
            shutil.copytree(caches, WORK / "user" / ".cache")
        prepared = self._references / target.name / "prepared"
        if target.is_prepared and prepared.exists():
            shutil.copytree(prepared, HOME / "prepared")
        if self._plan.store == "server":
            (WORK / "store").mkdir()
            shutil.copy(self._references / "mlflow.db", WORK / "store" / "mlflow.db")
            self.machine.store = StoreServer(self.machine)
        elif self._plan.seed % 4:
            # In every fourth round the database is made, and may be cut off, by the command.
            shutil.copy(self._references / "mlflow.db", HOME / "mlflow.db")
        if target.is_job:
            start_head(self.machine)

    def run(self) -> None:
        """Runs the commands with their faults, and checks what is left."""
        self._started_at = time.monotonic()
        self._is_done = False
        arguments = self._target.command
        for number in range(1, MAX_COMMANDS + 1):
            with contextlib.ExitStack() as at_rest:
                allowed = self._damage(number - 1, at_rest) if number > 1 else Ends.FINISHES
                code = self._command(number, arguments, allowed)
                if self.report.problems:
                    return
            if code == 0:
                break
            # What is submitted again after it has finished is another run.
            states = [record.get("state") for record in records()]
            self._is_done = self._target.is_job and "finished" in states
            arguments = self._target.resume
            time.sleep(self._plan.pause_s)
            if self._plan.lists_runs:
                self._list_runs()
        else:
            self.report.problems.append(f"not finished after {MAX_COMMANDS} commands")
            return
        self._check()

    def _due(self, number: int) -> list[PlannedFault]:
        """The faults for a command, those among them that found no moment in an earlier one."""
        return [fault for fault in self._pending if fault.attempt <= number]

    def _damage(self, number: int, stack: contextlib.ExitStack) -> Ends:
        """Applies the faults at rest after a command; returns how the next one may end."""
        allowed = Ends.FINISHES
        for fault in self._due(number):
            kind = self._kinds[fault.kind]
            if not kind.at_rest:
                continue
            end(self.machine.strays())
            self.machine.seed(f"{self._plan.seed} {fault.kind}")
            try:
                stack.enter_context(kind.apply(self.machine))
            except MissedError as missed:
                self._note(f"{kind.name}: {missed}")
                if kind.name in self._killed_for:
                    self._pending.remove(fault)
                continue
            self._apply(fault, number)
            allowed = max(allowed, kind.ends)
        return allowed

    def _apply(self, fault: PlannedFault, number: int) -> None:
        """Notes that a fault has been applied."""
        with self._lock:
            self._pending.remove(fault)
            self._applied.append((number, self._kinds[fault.kind]))
            self._note(fault.kind)

    def _command(self, number: int, arguments: tuple[str, ...], allowed: Ends) -> int:
        """Runs a command with its faults to its end; returns its exit code."""
        before = present()
        command = self.machine.start(*arguments)
        self._note(f"rnnlane {' '.join(arguments)}")
        threads = [
            threading.Thread(
                target=self._inflict, args=(fault, number, command, before), daemon=True
            )
            for fault in self._due(number)
        ]
        for thread in threads:
            thread.start()
        try:
            code = command.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.report.problems.append(f"hangs: {' '.join(arguments)}")
            self._dump(command)
            return -1
        self._note(f"exit code {code}")
        for thread in threads:
            thread.join(timeout=LIMIT_S)
            if thread.is_alive():
                self.report.problems.append("a fault cannot be healed")
        # What nobody read during a fault has been read now.
        command.wait(LIMIT_S)
        if any(fault.kind in self._killed_for for fault in self._due(number)):
            allowed = Ends.DIES
        live = [kind.ends for when, kind in self._applied if when == number and not kind.at_rest]
        self._judge(command, code, max([allowed, *live]))
        return code

    def _inflict(
        self, fault: PlannedFault, number: int, command: Command, before: frozenset[Path]
    ) -> None:
        kind = self._kinds[fault.kind]

        def is_over() -> bool:
            return command.process.poll() is not None

        try:
            if not Moments(is_over).wait_for(fault.moment, delay_s=fault.delay_s, before=before):
                self._note(f"{kind.name}: the command ended first")
                return
            if kind.at_rest:
                self._killed_for.add(kind.name)
                kill_everything(self.machine)
                self._note(f"everything is killed, for {kind.name}")
                return
            self.machine.seed(f"{self._plan.seed} {fault.kind}")
            with kind.apply(self.machine):
                self._apply(fault, number)
                if fault.lasts_s is None:
                    command.process.wait()
                elif fault.lasts_s > 0:
                    time.sleep(fault.lasts_s)
            if fault.lasts_s != 0:
                self._note(f"{kind.name} is healed")
        except (MissedError, psutil.NoSuchProcess) as missed:
            self._note(f"{kind.name}: nothing to act on ({missed})")
        except Exception:
            self.report.problems.append(f"{kind.name}: {traceback.format_exc()}")

    def _judge(self, command: Command, code: int, allowed: Ends) -> None:
        """Whether a command ended as it may."""
        # Until rnnlane has been imported, Python's own handlers end the command.
        before_import = {-signal.SIGINT, -signal.SIGTERM}
        codes = {
            Ends.FINISHES: {0},
            Ends.FAILS: {0, 1, 2},
            Ends.STOPS: {0, 1, 2, 130} | before_import,
        }
        told = command.told
        if allowed < Ends.DIES and code not in codes[allowed]:
            self.report.problems.append(
                f"exit code {code}, but may be {sorted(codes[allowed])}: {told}"
            )
        is_early = code in before_import
        if allowed < Ends.DIES and not is_early and "Traceback (most recent call last)" in told:
            self.report.problems.append(f"a traceback: {told}")
        if code in {1, 2} and allowed < Ends.DIES and not self._target.is_job:
            lines = [line for line in command.out.read_text().splitlines() if line[:1] == "{"]
            error = json.loads(lines[-1]).get("error") if lines else None
            if error is None:
                self.report.problems.append(f"no error was told: {told}")
            else:
                self._note(f"error: {error['where']}: {error['message']} -- {error['remedy']}")

    def _list_runs(self) -> None:
        """As a person looks what became of the run, which must not be said to run any more."""
        command = self.machine.start("runs", "--json", is_side=True)
        code = command.wait(LIMIT_S)
        if code != 0:
            self.report.problems.append(f"`rnnlane runs` fails: {command.told}")
            return
        states = [run["status"] for run in json.loads(command.out.read_text())["runs"]]
        self._note(f"rnnlane runs: {', '.join(states) or 'none'}")
        if "RUNNING" in states and not self.machine.is_job:
            self.report.problems.append(f"a run of no driver is {states}")

    def _check(self) -> None:
        if list(HOME.glob("runs/*/outbox/outbox.db")) or not all(
            json.loads(file.read_text()).get("is_closed", True)
            for file in HOME.glob("runs/*/run.json")
            if not self._may_add_runs()
        ):
            self._list_runs()
        machine = self.machine
        for limit_s in (STRAYS_NOTED_S, STRAYS_LIMIT_S - STRAYS_NOTED_S):
            deadline = time.monotonic() + limit_s
            while machine.strays() and time.monotonic() < deadline:
                time.sleep(0.2)
            left = []
            for process in machine.strays():
                with contextlib.suppress(psutil.Error):
                    left.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
            if left:
                self._note(f"still there: {left}")
        self.report.problems += [f"a process is left: {process}" for process in left]
        for command in machine.side_commands:
            if "Traceback (most recent call last)" in command.told:
                self.report.problems.append(f"a traceback of {command.arguments}: {command.told}")
        if not self._plan.faults:
            return
        expected = json.loads((self._references / self._target.name / "expected.json").read_text())
        self.report.problems += problems(
            self._target,
            expected,
            machine,
            may_add_runs=self._may_add_runs(),
            was_killed=len(machine.commands) > 1,
        )

    def _may_add_runs(self) -> bool:
        return self._is_done or any(kind.may_add_runs for _, kind in self._applied)

    def _note(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._started_at
        self.report.log.append(f"{elapsed_s:6.1f} s  {text}")

    def _dump(self, command: Command) -> None:
        """The processes, and where the driver's threads stand."""
        for process in living():
            with contextlib.suppress(psutil.Error, OSError):
                waits = Path(f"/proc/{process.pid}/wchan").read_text()
                line = " ".join(process.cmdline())[:150]
                self.report.log.append(
                    f"  {process.pid} {process.ppid()} {process.status()} {waits} {line}"
                )
        with contextlib.suppress(psutil.Error):
            # PYTHONFAULTHANDLER makes Python print the stacks of its threads.
            self.machine.driver().send_signal(signal.SIGABRT)
            time.sleep(3)
        with contextlib.suppress(Exception):
            end(self.machine.family())
        self.report.log.append(command.told[-8000:])

    def finish(self) -> Report:
        """The report, after all processes were ended."""
        self.report.num_applied = len(self._applied)
        self.report.seconds = round(time.monotonic() - self._started_at, 1)
        return self.report


def main() -> None:
    """Runs a round as the second process of the machine; the first one collects orphans."""
    child = os.fork()
    if child:
        while True:
            pid, status = os.wait()
            if pid == child:
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    # A shell lets what it starts in the background ignore Ctrl-C, and all below that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plan, folder, references = Plan.from_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    report = Report()
    try:
        one = Round(plan, references)
        report = one.report
        one.run()
        one.finish()
        if not plan.faults and not report.problems:
            _keep_reference(references / plan.target, one.machine.store)
    except Exception:
        report.problems.append(traceback.format_exc())
    (folder / "report.json").write_text(json.dumps(asdict(report)))
    if report.problems:
        for kept in (WORK, HOME, *TEMPORARY.glob("*/session_2*/logs")):
            with contextlib.suppress(shutil.Error, OSError):
                target = folder / kept.relative_to(DISKS)
                shutil.copytree(kept, target, symlinks=True, dirs_exist_ok=True)
    os._exit(bool(report.problems))


def _keep_reference(folder: Path, store: StoreServer | None) -> None:
    folder.mkdir(exist_ok=True)
    if not (folder / "prepared").exists():
        shutil.copytree(HOME / "prepared", folder / "prepared")
    if not (folder.parent / "caches").exists():
        shutil.copytree(WORK / "user" / ".cache", folder.parent / "caches")
    (folder / "expected.json").write_text(json.dumps(outcome(store), indent=1))


if __name__ == "__main__":
    main()
