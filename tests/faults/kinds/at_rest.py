"""Files that are damaged while nothing runs, after everything was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from faults.catalog import RESUMABLE, Ends, fault
from faults.machine import HOME, TEMPORARY, Machine, MissedError
from faults.targets import appeared

_AFTER_CHECKPOINT = {"at_rest": True, "moments": ("checkpoint",), "on": RESUMABLE - {"job"}}
_AFTER_RECORD = {"at_rest": True, "moments": ("record", "checkpoint"), "on": RESUMABLE - {"job"}}
_LOCAL_RUNS = {"run", "workers", "search"}


def _newest_checkpoint() -> Path:
    folders = (path for path in appeared("checkpoint") if path.is_dir())
    found = sorted(folders, key=lambda path: path.stat().st_mtime)
    if not found:
        raise MissedError("there is no checkpoint")
    return found[-1]


def _some_file(machine: Machine, folder: Path, pattern: str = "*") -> Path:
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    files = [path for path in files if path.stat().st_size > 8]
    if not files:
        raise MissedError(f"there is no {pattern} in {folder.name}")
    return machine.random.choice(files)


def _cut(machine: Machine, file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(machine.random.randrange(size))


def _flip(machine: Machine, file: Path, *, first: int = 0) -> None:
    position = machine.random.randrange(first, file.stat().st_size)
    with file.open("r+b") as stream:
        stream.seek(position)
        (byte,) = stream.read(1)
        stream.seek(position)
        stream.write(bytes([byte ^ (1 << machine.random.randrange(8))]))


@fault("checkpoint-cut", "a file of the newest checkpoint is cut short", **_AFTER_CHECKPOINT)
def _checkpoint_cut(machine: Machine) -> None:
    _cut(machine, _some_file(machine, _newest_checkpoint()))


@fault("checkpoint-bit", "a bit of the newest checkpoint is flipped", **_AFTER_CHECKPOINT)
def _checkpoint_bit(machine: Machine) -> None:
    _flip(machine, _some_file(machine, _newest_checkpoint()))


@fault("weights-bit", "a bit of the newest checkpoint's numbers is flipped", **_AFTER_CHECKPOINT)
def _weights_bit(machine: Machine) -> None:
    file = _some_file(machine, _newest_checkpoint(), "*.safetensors")
    header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    _flip(machine, file, first=min(header, file.stat().st_size - 1))


@fault("checkpoint-file-lost", "a file of the newest checkpoint is gone", **_AFTER_CHECKPOINT)
def _checkpoint_file_lost(machine: Machine) -> None:
    _some_file(machine, _newest_checkpoint()).unlink()


@fault("checkpoint-lost", "the newest checkpoint is gone", **_AFTER_CHECKPOINT)
def _checkpoint_lost(_: Machine) -> None:
    shutil.rmtree(_newest_checkpoint())


@fault("checkpoints-lost", "all checkpoints are gone", **_AFTER_CHECKPOINT)
def _checkpoints_lost(_: Machine) -> None:
    shutil.rmtree(HOME / "checkpoints")


@fault("outbox-journal-cut", "the journal of the outbox is cut short", **_AFTER_RECORD)
def _outbox_journal_cut(machine: Machine) -> None:
    # Only unsent records may be in it, and each is written again by the run that goes on.
    _cut(machine, _some_file(machine, HOME, "runs/*/outbox/outbox.db-wal"))


@fault("outbox-cut", "the outbox is cut short", ends=Ends.FAILS, **_AFTER_RECORD)
def _outbox_cut(machine: Machine) -> Iterator[None]:
    file = _some_file(machine, HOME, "runs/*/outbox/outbox.db")
    _cut(machine, file)
    yield
    # The remedy of the error: whoever reads it moves the file away.
    for path in file.parent.glob("outbox.db*"):
        path.unlink()


@fault("record-cut", "the run's record is cut short", may_add_runs=True, **_AFTER_RECORD)
def _record_cut(machine: Machine) -> None:
    _cut(machine, _some_file(machine, HOME, "runs/*/run.json"))


@fault(
    "study-journal-cut",
    "the journal of the search's file is cut short",
    on={"search"},
    at_rest=True,
    moments=("checkpoint",),
)
def _study_journal_cut(machine: Machine) -> None:
    _cut(machine, _some_file(machine, HOME, "runs/*/trials.sqlite-*"))


@fault("prepared-file-lost", "a file of the prepared data is gone", at_rest=True, on=_LOCAL_RUNS)
def _prepared_file_lost(machine: Machine) -> None:
    _some_file(machine, HOME, "prepared/*/data-*/**/*").unlink()


@fault("prepared-file-cut", "a file of the prepared data is cut", at_rest=True, on=_LOCAL_RUNS)
def _prepared_file_cut(machine: Machine) -> None:
    _cut(machine, _some_file(machine, HOME, "prepared/*/data-*/**/*"))


@fault(
    "prepared-bit",
    "a bit of the prepared data is flipped",
    at_rest=True,
    on=_LOCAL_RUNS,
    ends=Ends.FAILS,
)
def _prepared_bit(machine: Machine) -> Iterator[None]:
    _flip(machine, _some_file(machine, HOME, "prepared/*/data-*/**/*"))
    yield
    # The remedy of the error: whoever reads it removes the prepared data.
    shutil.rmtree(HOME / "prepared", ignore_errors=True)


@fault("manifest-cut", "the manifest of the prepared data is cut", at_rest=True, on=_LOCAL_RUNS)
def _manifest_cut(machine: Machine) -> None:
    _cut(machine, _some_file(machine, HOME, "prepared/*/manifest.json"))


@fault("scratch-removed", "all temporary files are removed", at_rest=True, on=RESUMABLE - {"job"})
def _scratch_removed(_: Machine) -> None:
    for path in TEMPORARY.iterdir():
        shutil.rmtree(path, ignore_errors=True)


@fault("cleaned-between", "`rnnlane clean` removes what it may", **_AFTER_RECORD)
def _cleaned_between(machine: Machine) -> None:
    command = machine.start("clean", "--yes", is_side=True)
    command.wait(240)


@fault(
    "experiment-changed",
    "the experiment is changed, run, and changed back",
    at_rest=True,
    on={"run"},
    may_add_runs=True,
)
def _experiment_changed(machine: Machine) -> None:
    text = machine.experiment.read_text()
    changed = yaml.safe_load(text)
    changed["training"]["epochs"] = 1
    machine.experiment.write_text(yaml.safe_dump(changed))
    _run_beside(machine)
    machine.experiment.write_text(text)


@fault(
    "data-changed",
    "a row is added to the data, the run resumed, and the row removed",
    at_rest=True,
    on={"run"},
    may_add_runs=True,
)
def _data_changed(machine: Machine) -> None:
    file = machine.experiment.parent / "reviews.csv"
    text = file.read_text()
    file.write_text(f"{text}one more fine review,good\n")
    _run_beside(machine)
    file.write_text(text)


def _run_beside(machine: Machine) -> None:
    command = machine.start(*machine.resume, is_side=True)
    if command.wait(240) == 0:
        assert json.loads(command.out.read_text())["run_id"]
