"""Sends the records of an outbox: all at once, or from a thread that survives outages."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from rnnlane.errors import is_disk_full
from rnnlane.tracking.client import is_away, one_line
from rnnlane.tracking.delivery import MlflowDestination
from rnnlane.tracking.outbox import Outbox, Record, RecordKind

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def send_all(outbox: Outbox, destination: MlflowDestination) -> int:
    """Sends what an earlier process left; returns the number of records sent or set aside.

    Raises:
        Exception: whatever MLflow raises while the store is away; the rest stays in the outbox.
    """
    count = 0
    while (record := outbox.head()) is not None:
        # Only the first can have been sent already: each was marked before the next went out.
        _send(outbox, destination, record, again=count == 0)
        count += 1
    return count


def _send(outbox: Outbox, destination: MlflowDestination, record: Record, *, again: bool) -> None:
    try:
        destination.deliver(record, again=again)
    except Exception as error:
        if is_away(error):
            raise
        reason = one_line(error)
        outbox.mark_rejected(record, reason=reason)
        logger.warning(
            "the tracking store refuses %s (record %d), which is set aside: %s",
            record.kind,
            record.number,
            reason,
        )
    else:
        outbox.mark_sent(record)


class Sender:
    """Sends the records of an outbox in order, in a thread of its own.

    While the store is away, it retries after 0.5 s, 1 s, 2 s, ... up to 10 s. A record that the
    store refuses is set aside, so that it does not hold up the others.

    Attributes:
        outbox: where the records come from.
        destination: where they go.
    """

    def __init__(self, outbox: Outbox, destination: MlflowDestination):
        """Starts the thread. What an earlier process left must have been sent before."""
        self.outbox = outbox
        self.destination = destination
        self._wake = threading.Condition()
        self._is_stopped = False
        self._retry_now = False
        self._thread = threading.Thread(target=self._run, name="tracking-sender", daemon=True)
        self._thread.start()

    def write(self, kind: RecordKind, content: Mapping[str, Any], *, run_id: str) -> None:
        """Appends a record with the present time to the outbox, to be sent as soon as possible."""
        self.outbox.append(kind, content, run_id=run_id, time_ms=time.time_ns() // 1_000_000)
        self._notify()

    def drain(self, timeout_s: float) -> bool:
        """Waits until all records are sent or set aside; ends a pause before a retry.

        Args:
            timeout_s: the longest wait for any one record. A store that is merely
                slow gets the time that it needs.

        Returns:
            False if the wait timed out.
        """
        with self._wake:
            self._retry_now = True
            self._wake.notify_all()
            while (head := self.outbox.head()) is not None:
                if not self._wake.wait_for(partial(self._is_done, head), timeout_s):
                    return False
            return True

    def stop(self, timeout_s: float = 1.0) -> None:
        """Ends the thread; one that hangs in a request is abandoned and ends with the process."""
        with self._wake:
            self._is_stopped = True
            self._wake.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        away_since: float | None = None
        pause_s = FIRST_PAUSE_S
        num_sent = 0
        again = False
        while (record := self._wait_for_record()) is not None:
            try:
                _send(self.outbox, self.destination, record, again=again)
            except Exception as error:
                if away_since is None:
                    away_since, pause_s, num_sent = time.time(), FIRST_PAUSE_S, 0
                    _log_outage(away_since, error)
                self._pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                again = True
                continue
            again = False
            num_sent += 1
            if away_since is not None and self.outbox.head() is None:
                seconds = time.time() - away_since
                logger.warning(
                    "tracking server back after %.0f s; sent %d records", seconds, num_sent
                )
                away_since = None
            self._notify()

    def _wait_for_record(self) -> Record | None:
        """The next record; None once stopped."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_stopped or self.outbox.head() is not None)
            return None if self._is_stopped else self.outbox.head()

    def _pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._is_stopped or self._retry_now, seconds)
            self._retry_now = False

    def _is_done(self, record: Record) -> bool:
        head = self.outbox.head()
        return head is None or head.number != record.number

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify_all()


def _log_outage(since: float, error: Exception) -> None:
    start = time.strftime("%H:%M:%S", time.localtime(since))
    what = "no room for the tracking store" if is_disk_full(error) else "tracking server away"
    logger.warning("%s since %s; training continues: %s", what, start, one_line(error))
