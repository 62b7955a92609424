"""The local record of a run: what `--resume` goes by, whatever became of the driver.

One folder a run, below ``<home>/runs``: ``run.json``, the outbox of the tracking server, and the
artifacts. The driver holds a lock while it works on a run; it falls open when the driver dies.
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

# Longer than another process takes to look whether a run's driver is alive.
LOCK_TIMEOUT_S = 3.0

RunState = Literal["running", "finished", "failed", "killed"]


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run on this machine.

    Attributes:
        key: names the run's folder and checkpoints.
        config_fingerprint: of the experiment it runs.
        data_fingerprint: of the prepared data it runs on.
        created_at: seconds since the epoch.
        state: how it stands; "running" may also mean that its driver was killed.
        run_id: MLflow's; None before the run is there.
        tracking_uri: identity of the store that has it.
        result: what `train` answered, once finished.
    """

    key: str
    config_fingerprint: str
    data_fingerprint: str
    created_at: float
    state: RunState = "running"
    run_id: str | None = None
    tracking_uri: str | None = None
    result: dict[str, Any] | None = field(default=None, repr=False)

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
        """The newest run of this experiment on this data, whatever its state."""
        found = [
            record
            for record in all_records()
            if record.config_fingerprint == config_fingerprint
            and record.data_fingerprint == data_fingerprint
        ]
        return max(found, key=lambda record: record.created_at, default=None)

    @property
    def folder(self) -> Path:
        """Where the run's local files are."""
        return home() / "runs" / self.key

    @property
    def outbox(self) -> Path:
        """What the tracking server is still to get."""
        return self.folder / "outbox"

    def update(self, **changes: Any) -> RunRecord:
        """The record with some attributes changed, written to disk."""
        record = replace(self, **changes)
        record._write()
        return record

    def discard_unstarted(self) -> None:
        """Removes the run's folder if MLflow never knew of the run."""
        if self.run_id is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def locked(self, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[RunRecord]:
        """Holds the run for this process; gives the record as it is on disk by then.

        Raises:
            JobError: another process works on it, and still does after ``timeout_s``.
        """
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout:
            raise JobError(
                "a run is worked on by one process at a time, but another one holds this run",
                where=str(self.folder),
                remedy="wait for it, or train without --resume for a run of its own",
            ) from None
        try:
            yield _read(self.folder / "run.json") or self
        finally:
            lock.release()

    def _write(self) -> None:
        scratch = self.folder / f"run.json.{os.getpid()}"
        scratch.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        scratch.replace(self.folder / "run.json")


def all_records() -> list[RunRecord]:
    """Every run of this home, oldest first; records that cannot be read are passed over."""
    records = []
    for file in sorted((home() / "runs").glob("*/run.json")):
        record = _read(file)
        if record is not None:
            records.append(record)
    return sorted(records, key=lambda record: record.created_at)


def _read(file: Path) -> RunRecord | None:
    try:
        return RunRecord(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
