"""The local record of a run, from which `--resume` continues after the driver has died.

Each run has a folder below ``<home>/runs`` with ``run.json``, the outbox of the tracking store, and
the artifacts. The driver holds a lock while it works on a run; the lock is freed when it dies.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from rnnlane.config.paths import home
from rnnlane.data.storage import joined
from rnnlane.errors import JobError, disk_errors, first_line

logger = logging.getLogger(__name__)

# Longer than another process takes to check whether the driver of a run is alive.
LOCK_TIMEOUT_S = 3.0
# In the run's folder while a process that does its upkeep holds the lock.
_UPKEEP = "upkeep"

RunState = Literal["running", "finished", "failed", "killed"]


@dataclass(frozen=True)
class RunRecord:
    """The state of a run, a search or a baseline, as stored on this machine.

    Attributes:
        key: name of the run's folder and of its checkpoints; its MLflow run has it as a tag.
        config_fingerprint: of the experiment.
        data_fingerprint: of the prepared data.
        created_at: seconds since 1970.
        state: "running" may also mean that the driver was killed.
        run_id: of the MLflow run; None until it has been created.
        tracking_uri: identity of the store; set before the MLflow run is created.
        result: what the verb returned, as plain values, once the run has finished.
        has_inputs: whether the inputs have been logged.
        is_closed: whether the end of the MLflow run has been logged: in the store, or in the
            outbox on its way there.
        prepared: the fingerprints of the prepared data that it reads.
        storage: folder or URI of its checkpoints' storage, without passwords; None: the home.
        is_tidy: whether what only an unfinished run needs has been removed; see
            :func:`rnnlane.execution.leftovers.tidy`.
        code_version: digest of the source that worked on it last; None before 0.3.
        parent: key of the run of several seeds that it is one seed of; None: it is a run by itself.
    """

    key: str
    config_fingerprint: str
    data_fingerprint: str
    created_at: float
    state: RunState = "running"
    run_id: str | None = None
    tracking_uri: str | None = None
    result: dict[str, Any] | None = field(default=None, repr=False)
    has_inputs: bool = False
    is_closed: bool = False
    prepared: tuple[str, ...] = ()
    storage: str | None = None
    is_tidy: bool = False
    code_version: str | None = None
    parent: str | None = None

    @classmethod
    def create(
        cls,
        name: str,
        *,
        config_fingerprint: str,
        data_fingerprint: str,
        parent: str | None = None,
    ) -> RunRecord:
        """A new run, written to disk.

        Raises:
            ResourceError: the disk is full, or the home cannot be written.
        """
        key = f"{name}-{secrets.token_hex(4)}"
        record = cls(key, config_fingerprint, data_fingerprint, time.time(), parent=parent)
        with disk_errors(record.folder):
            record.folder.mkdir(parents=True)
        try:
            record._write()
        except BaseException:
            shutil.rmtree(record.folder, ignore_errors=True)
            raise
        return record

    @classmethod
    def find(cls, *, config_fingerprint: str, data_fingerprint: str) -> RunRecord | None:
        """The newest run of this experiment on this data, in any state; None if there is none."""
        matching = [
            record
            for record in all_records()
            if record.config_fingerprint == config_fingerprint
            and record.data_fingerprint == data_fingerprint
        ]
        return max(matching, key=lambda record: record.created_at, default=None)

    @property
    def folder(self) -> Path:
        """The folder of the run's local files."""
        return home() / "runs" / self.key

    @property
    def outbox(self) -> Path:
        """The folder of the writes that the tracking store has not received yet."""
        return self.folder / "outbox"

    @property
    def checkpoints(self) -> str:
        """Folder or URI of the run's checkpoints; those of a search's trials are below it."""
        return joined(self.storage or str(home()), "checkpoints", self.key)

    def update(self, **changes: Any) -> RunRecord:
        """Changes some attributes on disk, and returns the new record.

        Raises:
            ResourceError: the disk is full, or the home cannot be written.
        """
        record = replace(self, **changes)
        record._write()
        return record

    def reread(self) -> RunRecord:
        """The record as it is on disk now; this one if there is none."""
        try:
            return _read(self.folder / "run.json")
        except (OSError, ValueError):
            return self

    def discard_unstarted(self) -> None:
        """Removes the run's folder if no MLflow run can have been created for it."""
        if self.run_id is None and self.tracking_uri is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(
        self,
        *,
        timeout_s: float = LOCK_TIMEOUT_S,
        note: Callable[[str], None] | None = None,
        is_upkeep: bool = False,
    ) -> Iterator[RunRecord]:
        """Locks the run for this process; yields the record as it then is on disk.

        A run that fails before its MLflow run can have been created leaves no folder behind.

        Args:
            timeout_s: the longest wait for a process that works on the run.
            note: if given, a process that does the run's upkeep is waited for as long as it takes,
                and this is told so.
            is_upkeep: this process only sends or removes what an earlier one has left.

        Raises:
            JobError: another process still holds the run after ``timeout_s``, or has removed it.
            ResourceError: the disk is full, or the home cannot be written.
        """
        lock = FileLock(self.folder / "lock")
        mark = self.folder / _UPKEEP
        with disk_errors(self.folder):
            self._acquire(lock, timeout_s=timeout_s, note=note)
        try:
            if not (self.folder / "run.json").exists():
                raise JobError(
                    "a run needs its record, but another process has just removed it",
                    where=str(self.folder),
                    remedy="start a new run without --resume",
                )
            with disk_errors(self.folder):
                mark.touch() if is_upkeep else mark.unlink(missing_ok=True)
            yield self.reread()
        except BaseException:
            self.reread().discard_unstarted()
            raise
        finally:
            if is_upkeep:
                mark.unlink(missing_ok=True)
            lock.release()

    def _acquire(
        self, lock: FileLock, *, timeout_s: float, note: Callable[[str], None] | None
    ) -> None:
        while True:
            try:
                lock.acquire(timeout=timeout_s)
            except Timeout:
                # A process that died in its upkeep leaves the mark, but not the lock.
                if note is None or not (self.folder / _UPKEEP).exists():
                    raise JobError(
                        "one process at a time may work on a run, but another one holds this run",
                        where=str(self.folder),
                        remedy="wait until it ends, or start a new run without --resume",
                    ) from None
                note(
                    "waiting for another process, which sends what the tracking store lacks of "
                    "this run"
                )
            else:
                return

    def _write(self) -> None:
        scratch = self.folder / f"run.json.{os.getpid()}"
        try:
            with disk_errors(self.folder), scratch.open("w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self.folder / "run.json")
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def all_records() -> list[RunRecord]:
    """Every run of this home, oldest first.

    A folder whose record is damaged is moved to ``<home>/damaged``, so that it is reported once.
    A folder without a record is none of ours, and stays.
    """
    records = []
    for file in sorted((home() / "runs").glob("*/run.json")):
        try:
            records.append(_read(file))
        except FileNotFoundError:
            continue  # removed by another process meanwhile
        except OSError as error:
            logger.warning("%s cannot be read and is passed over: %s", file, first_line(error))
        except ValueError as error:
            _set_aside(file.parent, reason=error)
    return sorted(records, key=lambda record: record.created_at)


_RECORD = TypeAdapter(RunRecord)


def _read(file: Path) -> RunRecord:
    """Reads a record; keys of a later version are ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    values = json.loads(file.read_bytes())
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 (as all damage)
    # Version 0.1 did not write is_closed; its runs were closed unless they were running.
    values.setdefault("is_closed", values.get("state") != "running")
    try:
        record = _RECORD.validate_python(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    if record.key != file.parent.name:
        raise ValueError(f"it is a copy of the record of {record.key}")
    return record


def _set_aside(folder: Path, *, reason: ValueError) -> None:
    """Moves a folder with a damaged record out of the way."""
    target = home() / "damaged" / folder.name
    try:
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            target = target.with_name(f"{folder.name}-{secrets.token_hex(4)}")
        folder.rename(target)
    except OSError:
        logger.warning("the record of %s is damaged and passed over: %s", folder, reason)
    else:
        logger.warning(
            "the record of the run %s is damaged (%s); its folder was moved to %s",
            folder.name,
            first_line(reason),
            target,
        )
