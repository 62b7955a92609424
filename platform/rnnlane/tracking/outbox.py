"""A durable queue of the records that the tracking store does not have yet."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from rnnlane.errors import TrackingError, disk_error, disk_errors, is_disk_full

RecordKind = Literal[
    "create",
    "params",
    "metrics",
    "tags",
    "datasets",
    "search",
    "seed",
    "artifacts",
    "model",
    "finish",
]

DATABASE_NAME = "outbox.db"
# Of version 0.1.
OLD_JOURNAL_NAME = "journal.jsonl"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order to send in; never reused
    kind TEXT NOT NULL,
    run_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    content TEXT NOT NULL,                     -- JSON
    store TEXT NOT NULL,                       -- identity of the store that has the run
    reason TEXT                                -- why the store refused it; NULL: not sent yet
)
"""
_PENDING = """
SELECT number, kind, run_id, time_ms, content FROM records
WHERE reason IS NULL ORDER BY number LIMIT ?
"""


@dataclass(frozen=True)
class Record:
    """One write to a run.

    Attributes:
        number: position in the outbox, from 1.
        kind: which of MLflow's writes it is.
        run_id: the MLflow run, or a :func:`~rnnlane.tracking.delivery.trial_address`, which stands
            for a run that may not exist yet.
        time_ms: when the record was written, in milliseconds since 1970; rises from record to
            record of a process.
        content: values that JSON can hold (also NaN and infinities); depends on the kind.
    """

    number: int
    kind: RecordKind
    run_id: str
    time_ms: int
    content: Mapping[str, Any]


class OutboxUnavailableError(TrackingError):
    """The outbox is in use by another process, for another store, or unreadable."""


class Outbox:
    """Records in a SQLite file, in order. One process at a time may open it. Thread-safe.

    A record is on the disk before :meth:`append` returns, so neither a killed process nor a power
    failure loses one. A record may be sent but not yet marked as sent, so delivery must be
    idempotent.

    Attributes:
        folder: holds the file and its lock.
        files: folder for files that are made only to be sent; it may not exist.
    """

    def __init__(self, folder: Path, *, store: str):
        """Opens or creates the outbox.

        Args:
            folder: for the file and its lock.
            store: identifies the store, without secrets. A store would refuse the records of a run
                that only another store has.

        Raises:
            OutboxUnavailableError: another process holds it, records wait for another store, or the
                file cannot be read.
            ResourceError: the disk is full, or the folder cannot be written.
        """
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.files = folder / "files"
        self._store = store
        self._is_closed = False
        self._last_time_ms = -1
        self._lock = threading.RLock()
        self._process_lock = FileLock(folder / "lock", thread_local=False)
        with disk_errors(folder):
            try:
                self._process_lock.acquire(timeout=0)
            except Timeout:
                raise OutboxUnavailableError(
                    "one process at a time may log a run, but another one is logging it now",
                    where=str(folder),
                    remedy="wait until it ends, or end it",
                ) from None
        try:
            self._database = self._open(folder / DATABASE_NAME)
        except BaseException:
            self._process_lock.release()
            raise

    def _open(self, path: Path) -> sqlite3.Connection:
        database = None
        try:
            database = _connect(path)
            other, count = database.execute(
                "SELECT store, count(*) FROM records WHERE reason IS NULL AND store != ?",
                (self._store,),
            ).fetchone()
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            if is_disk_full(error):
                raise disk_error(error, path) from None
            raise OutboxUnavailableError(
                f"an outbox must be a SQLite file that can be read and written, but got: {error}",
                where=str(path),
                remedy="check the disk; if the file is damaged, move it away",
            ) from None
        if count:
            database.close()
            raise OutboxUnavailableError(
                f"{count} records must go to {other}, but got the store {self._store}",
                where=str(self.folder),
                remedy="set tracking.uri to the store that has the run",
            )
        return database

    def append(
        self, kind: RecordKind, content: Mapping[str, Any], *, run_id: str, time_ms: int
    ) -> Record:
        """Writes a record to the disk, as the last one; takes about 0.3 ms.

        Args:
            kind: see :class:`Record`.
            content: see :class:`Record`.
            run_id: see :class:`Record`.
            time_ms: the present time. The record's is later than that of the record before it: of
                two values of a metric with one step and one time, MLflow keeps the larger one.

        Raises:
            ResourceError: the disk is full; the outbox is as before.
        """
        with self._lock, disk_errors(self.folder):
            # Also where the clock was set back.
            time_ms = max(time_ms, self._last_time_ms + 1)
            cursor = self._database.execute(
                "INSERT INTO records (kind, run_id, time_ms, content, store)"
                " VALUES (?, ?, ?, ?, ?)",
                (kind, run_id, time_ms, json.dumps(content), self._store),
            )
            assert cursor.lastrowid is not None
            self._last_time_ms = time_ms
            return Record(cursor.lastrowid, kind, run_id, time_ms, content)

    def pending(self, limit: int = -1) -> list[Record]:
        """The records that are not sent yet, oldest first; none after :meth:`close`.

        Args:
            limit: the greatest number of records; -1: all.
        """
        with self._lock:
            rows = [] if self._is_closed else self._database.execute(_PENDING, (limit,)).fetchall()
        return [
            Record(number, kind, run_id, time_ms, json.loads(content))
            for number, kind, run_id, time_ms, content in rows
        ]

    def head(self) -> Record | None:
        """The record to send next, if there is one."""
        return next(iter(self.pending(limit=1)), None)

    def mark_sent(self, record: Record) -> None:
        """Removes a record that the store has."""
        self._mark("DELETE FROM records WHERE number = ?", record.number)

    def mark_rejected(self, record: Record, *, reason: str) -> None:
        """Sets a record that the store refused aside, for a person to inspect."""
        self._mark("UPDATE records SET reason = ? WHERE number = ?", reason, record.number)

    def _mark(self, statement: str, *values: str | int) -> None:
        with self._lock:
            # A sender that hung in a request may get here after close(), when another process may
            # hold the outbox; the record is then sent again.
            if not self._is_closed:
                self._database.execute(statement, values)

    def counts(self) -> tuple[int, int]:
        """The number of pending records, and of those that the store refused at any time."""
        query = "SELECT count(*), count(reason) FROM records"
        with self._lock:
            num_records, num_rejected = self._database.execute(query).fetchone()
            return num_records - num_rejected, num_rejected

    def close(self) -> None:
        """Releases the outbox to other processes.

        Deletes :attr:`files` if nothing is pending, and the database if it is empty.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            num_pending, num_rejected = self.counts()
            self._database.close()
            if not num_pending:
                shutil.rmtree(self.files, ignore_errors=True)
            if num_pending + num_rejected == 0:
                (self.folder / DATABASE_NAME).unlink()
            self._process_lock.release()


def has_records(folder: Path) -> bool:
    """Whether an outbox may hold records that the store lacks or has refused; opens nothing.

    An outbox that is closed without records deletes its file.
    """
    return any((folder / name).exists() for name in (DATABASE_NAME, OLD_JOURNAL_NAME))


def is_spent(folder: Path) -> bool:
    """Whether nothing in an outbox's folder can be of use any more."""
    return not has_records(folder) and not any(folder.glob("damaged-*"))


def set_aside_if_damaged(folder: Path) -> Path | None:
    """Renames the file of an outbox if it is not a database that can be read.

    The caller is the only process that works on the run.

    Returns:
        The new name; None if the outbox is sound, or there is none.
    """
    path = folder / DATABASE_NAME
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.0)) as database:
            for (content,) in database.execute("SELECT content FROM records"):
                json.loads(content)
    except sqlite3.OperationalError:
        # Another process sends it, or the disk is full; and one that is still empty has no table.
        return None
    except (sqlite3.DatabaseError, ValueError, TypeError):
        name = f"damaged-{secrets.token_hex(4)}.db"
        for file in sorted(folder.glob(f"{DATABASE_NAME}*")):
            file.rename(folder / file.name.replace(DATABASE_NAME, name, 1))
        return folder / name
    return None


def _connect(path: Path) -> sqlite3.Connection:
    # Without an isolation level each statement is a transaction of its own.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # WAL costs one fsync a transaction. It needs shared memory, which network file systems lack,
    # unless one connection has the file to itself.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(_SCHEMA)
    return database
