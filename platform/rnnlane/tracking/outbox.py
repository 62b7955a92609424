"""A durable queue of what is still to be sent to the tracking store."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from filelock import FileLock, Timeout

from rnnlane.errors import TrackingError

Kind = Literal["create", "params", "metrics", "tags", "artifacts", "finish"]


@dataclass(frozen=True)
class Record:
    """One write to a run.

    Attributes:
        number: position in the outbox, from 1, without gaps.
        kind: which of MLflow's writes it is.
        run_id: the MLflow run, or a :func:`~rnnlane.tracking.delivery.trial_address`, which stands
            for one that may not be there yet.
        time_ms: when it was written down, in milliseconds since 1970.
        content: what JSON can hold (also NaN and infinities); depends on the kind.
    """

    number: int
    kind: Kind
    run_id: str
    time_ms: int
    content: Mapping[str, Any]


class OutboxUnavailableError(TrackingError):
    """Another process sends these records, or they are for another store."""


class Outbox:
    """Records in a folder, in order; one process at a time may hold it. Safe between threads.

    Attributes:
        folder: where it lives.
        files: place for files that are made only to be sent; it may not exist.

    ``journal.jsonl`` has all records, ``sent`` the number of the last one that is done with,
    ``rejected.jsonl`` those that the store refused, each with the reason, and ``store`` says which
    store they are for. A record is on the disk before :meth:`append` returns, so a killed process
    or a power cut loses none; but one can be sent and not yet be marked as done, so sending again
    must do no harm.
    """

    def __init__(self, folder: Path, *, store: str):
        """Opens or creates the outbox.

        Args:
            folder: where it lives.
            store: what identifies the store, without secrets. Records of a run that one store has
                would be refused by any other.

        Raises:
            OutboxUnavailableError: another process holds it, or records wait for another store.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.files = folder / "files"
        self._journal_path = folder / "journal.jsonl"
        self._sent_path = folder / "sent"
        self._store_path = folder / "store"
        self._rejected_path = folder / "rejected.jsonl"
        self._lock = threading.Lock()
        self._process_lock = FileLock(folder / "lock", thread_local=False)
        try:
            self._process_lock.acquire(timeout=0)
        except Timeout:
            raise OutboxUnavailableError(
                "one process at a time may log a run, but another one does so now",
                where=str(folder),
                remedy="wait until it ends, or end it",
            ) from None
        try:
            self._open(store)
        except BaseException:
            self._process_lock.release()
            raise

    def _open(self, store: str) -> None:
        records = _read_journal(self._journal_path)
        sent = int(self._sent_path.read_text()) if self._sent_path.exists() else 0
        # Not 0 without records: a number at or below the mark would count as sent.
        self._last = records[-1].number if records else sent
        self._pending = deque(record for record in records if record.number > sent)
        bound_to = self._store_path.read_text() if self._pending else store
        if bound_to != store:
            raise OutboxUnavailableError(
                f"{len(self._pending)} records must go to {bound_to}, but got the store {store}",
                where=str(self.folder),
                remedy="set tracking.uri to the store that has the run",
            )
        if not self._pending:
            with self._store_path.open("w", encoding="utf-8") as file:
                _write_durably(file, store)
        self._journal = self._journal_path.open("a", encoding="utf-8")

    def append(
        self, kind: Kind, content: Mapping[str, Any], *, run_id: str, time_ms: int
    ) -> Record:
        """Writes a record down, on the disk, as the last one."""
        with self._lock:
            record = Record(self._last + 1, kind, run_id, time_ms, content)
            _write_durably(self._journal, json.dumps(asdict(record)) + "\n")
            self._last = record.number
            self._pending.append(record)
            return record

    def pending(self) -> list[Record]:
        """The records that are still to be sent, oldest first."""
        with self._lock:
            return list(self._pending)

    def head(self) -> Record | None:
        """The record to send next; None when all are done with."""
        with self._lock:
            return self._pending[0] if self._pending else None

    def mark_sent(self, record: Record) -> None:
        """Takes the head off the queue."""
        with self._lock:
            self._take_off(record)

    def mark_rejected(self, record: Record, *, reason: str) -> None:
        """Puts the head aside, for a person to look at."""
        with self._lock:
            if not self._journal.closed:
                with self._rejected_path.open("a", encoding="utf-8") as file:
                    _write_durably(file, json.dumps({**asdict(record), "reason": reason}) + "\n")
            self._take_off(record)

    def _take_off(self, record: Record) -> None:
        # A sender that hung in a request may come here after close(), when the folder can already
        # be another process's; the record is then sent again.
        if self._journal.closed:
            return
        temporary = self._sent_path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            _write_durably(file, str(record.number))
        temporary.replace(self._sent_path)
        self._pending.popleft()

    def num_rejected(self) -> int:
        """Records that the store has refused, also in earlier processes."""
        if not self._rejected_path.exists():
            return 0
        with self._rejected_path.open(encoding="utf-8") as file:
            return sum(1 for _ in file)

    def close(self) -> None:
        """Lets other processes in; if all was sent, also removes the journal and :attr:`files`."""
        with self._lock:
            self._journal.close()
            if not self._pending:
                shutil.rmtree(self.files, ignore_errors=True)
                # The mark goes last: a journal without it would be sent a second time.
                self._journal_path.unlink()
                self._sent_path.unlink(missing_ok=True)
                self._store_path.unlink()
            self._process_lock.release()


def _read_journal(path: Path) -> list[Record]:
    """The whole records; cuts off a last line that a killed process left half written."""
    if not path.exists():
        return []
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        os.truncate(path, end)
    return [Record(**json.loads(line)) for line in data[:end].splitlines()]


def _write_durably(file: TextIO, text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
