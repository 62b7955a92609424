from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.tracking import sender as sender_module
from rnnlane.tracking.outbox import Outbox, Record
from rnnlane.tracking.sender import Sender, send_all


class Away(ConnectionError):
    pass


class Refused(ValueError):
    pass


class Killed(BaseException):
    pass


class Store:
    """Treats each attempt as its script says, and accepts all once the script ends."""

    def __init__(self, *script: str):
        self.script = list(script)
        self.received: list[int] = []
        self.attempts = 0

    def deliver(self, record: Record, *, again: bool) -> None:
        self.attempts += 1
        fate = self.script.pop(0) if self.script else "ok"
        if fate == "lost":
            raise Away("connection refused")
        if fate == "refused":
            raise Refused("no such run")
        if not (again and record.number in self.received):
            self.received.append(record.number)
        if fate == "unanswered":
            raise Away("timeout")
        if fate == "killed":
            raise Killed


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path, store="http://h")
    yield outbox
    outbox.close()


def add(outbox: Outbox, count: int = 1) -> None:
    for _ in range(count):
        outbox.append("tags", {}, run_id="run", time_ms=0)


def run(outbox: Outbox, store: Store, *, count: int) -> bool:
    sender = Sender(outbox, store)
    for _ in range(count):
        sender.write("tags", {}, run_id="run")
    drained = sender.drain(10.0)
    sender.stop()
    return drained


def test_records_arrive_once_and_in_order(outbox: Outbox) -> None:
    store = Store()
    assert run(outbox, store, count=20)
    assert store.received == list(range(1, 21))


def test_an_outage_loses_doubles_and_reorders_nothing(outbox: Outbox) -> None:
    store = Store("ok", "lost", "lost", "unanswered", "lost", "ok", "unanswered")
    assert run(outbox, store, count=8)
    assert store.received == list(range(1, 9))


def test_an_outage_and_its_end_are_each_logged_once(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    add(outbox, 3)
    with caplog.at_level(logging.INFO):
        run(outbox, Store("lost", "lost", "ok", "lost", "ok"), count=0)
    away, back = caplog.messages
    assert away.startswith("tracking server away since")
    assert away.endswith("training continues: connection refused")
    assert back.startswith("tracking server back after")
    assert back.endswith("sent 3 records")


def test_a_refused_record_is_put_aside_and_does_not_hold_up_the_others(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store("ok", "refused")
    assert run(outbox, store, count=3)
    assert store.received == [1, 3]
    assert store.attempts == 3
    assert outbox.counts() == (0, 1)
    assert "refuses tags (record 2), which is set aside: no such run" in caplog.text


def test_drain_gives_up_on_a_store_that_stays_away(outbox: Outbox) -> None:
    sender = Sender(outbox, Store(*["lost"] * 10_000))
    sender.write("tags", {}, run_id="run")
    assert not sender.drain(0.05)
    sender.stop()
    assert len(outbox.pending()) == 1


def test_drain_waits_for_a_store_that_is_only_slow(outbox: Outbox) -> None:
    class Slow(Store):
        def deliver(self, record: Record, *, again: bool) -> None:
            time.sleep(0.02)
            super().deliver(record, again=again)

    add(outbox, 60)
    sender = Sender(outbox, Slow())
    assert sender.drain(0.6)
    sender.stop()


def test_drain_does_not_wait_for_the_next_planned_attempt(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_S", 600.0)
    monkeypatch.setattr(sender_module, "LONGEST_PAUSE_S", 600.0)
    store = Store("lost")
    sender = Sender(outbox, store)
    sender.write("tags", {}, run_id="run")
    assert sender.drain(10.0)
    sender.stop()


def test_stop_leaves_a_hanging_request_behind(outbox: Outbox) -> None:
    hanging, release = threading.Event(), threading.Event()

    class Hanging(Store):
        def deliver(self, record: Record, *, again: bool) -> None:
            hanging.set()
            release.wait()

    sender = Sender(outbox, Hanging())
    sender.write("tags", {}, run_id="run")
    hanging.wait()
    sender.stop(timeout_s=0.01)
    outbox.close()
    release.set()
    assert len(Outbox(outbox.folder, store="http://h").pending()) == 1


def test_send_all_stops_at_a_store_that_is_away_and_keeps_the_rest(outbox: Outbox) -> None:
    add(outbox, 3)
    with pytest.raises(Away):
        send_all(outbox, Store("ok", "lost"))
    assert [record.number for record in outbox.pending()] == [2, 3]


def test_send_all_counts_what_it_sent_or_put_aside(outbox: Outbox) -> None:
    add(outbox, 3)
    assert send_all(outbox, Store("ok", "refused")) == 3


@settings(deadline=None, max_examples=60)
@given(script=st.lists(st.sampled_from(["ok", "lost", "unanswered", "killed"]), max_size=12))
def test_no_order_of_outages_and_kills_loses_or_doubles_a_record(script: list[str]) -> None:
    store = Store(*script)
    with TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder), store="http://h")
        add(outbox, 5)
        while outbox.head() is not None:
            try:
                send_all(outbox, store)
            except (Away, Killed):
                # What a new process does.
                outbox.close()
                outbox = Outbox(Path(folder), store="http://h")
        outbox.close()
    assert store.received == [1, 2, 3, 4, 5]
