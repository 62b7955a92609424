"""Emptying an outbox, at once or in a thread that lives through a store that goes away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from rnnlane.tracking.outbox import Kind, Outbox, Record

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Destination(Protocol):
    """Where records go."""

    def deliver(self, record: Record, *, again: bool) -> None:
        """Hands one record over or raises; ``again`` says that it may have arrived already."""
        ...

    def is_away(self, error: Exception) -> bool:
        """Whether the same record may get through later."""
        ...

    def describe(self, error: Exception) -> str:
        """The error as one line without secrets."""
        ...


def send_all(outbox: Outbox, destination: Destination) -> int:
    """Sends what an earlier process left; returns the number of records sent or put aside.

    Raises:
        Exception: whatever ``destination`` raises while it is away; the rest stays in the outbox.
    """
    count = 0
    while (record := outbox.head()) is not None:
        # Only the first can have been sent already: each was marked before the next went out.
        _send(outbox, destination, record, again=count == 0)
        count += 1
    return count


def _send(outbox: Outbox, destination: Destination, record: Record, *, again: bool) -> None:
    try:
        destination.deliver(record, again=again)
    except Exception as error:
        if destination.is_away(error):
            raise
        reason = destination.describe(error)
        outbox.mark_rejected(record, reason=reason)
        logger.warning(
            "the tracking store refuses %s (record %d), which is put aside: %s",
            record.kind,
            record.number,
            reason,
        )
    else:
        outbox.mark_sent(record)


class Sender:
    """Sends the records of an outbox in order, in a thread of its own.

    While the store is away it tries again after 0.5 s, 1 s, 2 s, ... up to 10 s. A record that the
    store refuses is put aside, so that it does not hold up the others.
    """

    def __init__(self, outbox: Outbox, destination: Destination):
        """Starts the thread; what an earlier process left must have been sent before."""
        self.outbox = outbox
        self._destination = destination
        self._wake = threading.Condition()
        self._stopped = False
        self._hurry = False
        self._thread = threading.Thread(target=self._run, name="tracking-sender", daemon=True)
        self._thread.start()

    def write(self, kind: Kind, content: Mapping[str, Any], *, run_id: str) -> None:
        """Writes a record of what happens now down; it is sent as soon as can be."""
        self.outbox.append(kind, content, run_id=run_id, time_ms=time.time_ns() // 1_000_000)
        self.notify()

    def notify(self) -> None:
        """Says that there is a new record."""
        with self._wake:
            self._wake.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Waits until all is sent or put aside; tries at once if it was waiting to try again.

        Args:
            timeout_s: without a record sent. A store that only has much to take is waited for.

        Returns:
            False if the time was up before.
        """
        with self._wake:
            self._hurry = True
            self._wake.notify_all()
            while (head := self.outbox.head()) is not None:
                if not self._wake.wait_for(partial(self._has_left, head), timeout_s):
                    return False
            return True

    def _has_left(self, record: Record) -> bool:
        return self.outbox.head() is not record

    def stop(self, timeout_s: float = 1.0) -> None:
        """Ends the thread; one that hangs in a request is left behind and ends with the process."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        outage: _Outage | None = None
        again = False
        while (record := self._next()) is not None:
            try:
                _send(self.outbox, self._destination, record, again=again)
            except Exception as error:
                outage = outage or _Outage(self._destination.describe(error))
                self._pause(outage.next_pause_s())
                again = True
                continue
            again = False
            if outage is not None:
                outage.num_sent += 1
                if self.outbox.head() is None:
                    outage.end()
                    outage = None
            self.notify()

    def _next(self) -> Record | None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or self.outbox.head() is not None)
            return None if self._stopped else self.outbox.head()

    def _pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopped or self._hurry, seconds)
            self._hurry = False


class _Outage:
    """Says once that the store is away, and once that it is back."""

    def __init__(self, reason: str):
        self.num_sent = 0
        self._since = time.time()
        self._pause_s = FIRST_PAUSE_S
        start = time.strftime("%H:%M:%S", time.localtime(self._since))
        logger.warning("tracking server away since %s; training goes on: %s", start, reason)

    def next_pause_s(self) -> float:
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s

    def end(self) -> None:
        logger.warning(
            "tracking server back after %.0f s; sent %d records",
            time.time() - self._since,
            self.num_sent,
        )
