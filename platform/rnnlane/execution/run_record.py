"""The local record of a run, from which `--resume` continues after the driver has died.

Each run has a folder below ``<home>/runs`` with ``run.json``, the outbox of the tracking store, and
the artifacts. The driver holds a lock while it works on a run; the lock is freed when it dies.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from rnnlane.config.paths import home
from rnnlane.errors import JobError

# Longer than another process takes to check whether the driver of a run is alive.
LOCK_TIMEOUT_S = 3.0

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
        code_version: digest of the source that worked on it last; None before 0.3.
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
    code_version: str | None = None

    @classmethod
    def create(cls, name: str, *, config_fingerprint: str, data_fingerprint: str) -> RunRecord:
        """A new run, written to disk."""
        key = f"{name}-{secrets.token_hex(4)}"
        record = cls(key, config_fingerprint, data_fingerprint, time.time())
        record.folder.mkdir(parents=True)
        record._write()
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

    def update(self, **changes: Any) -> RunRecord:
        """Changes some attributes on disk, and returns the new record."""
        record = replace(self, **changes)
        record._write()
        return record

    def reread(self) -> RunRecord:
        """The record as it is on disk now."""
        return _read(self.folder / "run.json") or self

    def discard_unstarted(self) -> None:
        """Removes the run's folder if no MLflow run can have been created for it."""
        if self.run_id is None and self.tracking_uri is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[RunRecord]:
        """Locks the run for this process; yields the record as it then is on disk.

        A run that fails before its MLflow run can have been created leaves no folder behind.

        Raises:
            JobError: another process still holds the run after ``timeout_s``.
        """
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout:
            raise JobError(
                "one process at a time may work on a run, but another one holds this run",
                where=str(self.folder),
                remedy="wait until it ends, or start a new run without --resume",
            ) from None
        try:
            yield self.reread()
        except BaseException:
            self.reread().discard_unstarted()
            raise
        finally:
            lock.release()

    def _write(self) -> None:
        scratch = self.folder / f"run.json.{os.getpid()}"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.folder / "run.json")


def all_records() -> list[RunRecord]:
    """Every run of this home, oldest first; unreadable records are skipped."""
    records = []
    for file in sorted((home() / "runs").glob("*/run.json")):
        record = _read(file)
        if record is not None:
            records.append(record)
    return sorted(records, key=lambda record: record.created_at)


def _read(file: Path) -> RunRecord | None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        # Version 0.1 did not write is_closed; its runs were closed unless they were running.
        values.setdefault("is_closed", values["state"] != "running")
        return RunRecord(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None
