from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnnlane.records.events import ForwardedEvents, RunEvents
from rnnlane.records.progress import Progress

EVENTS = [name for name in vars(RunEvents) if not name.startswith("_") and name != "verbose"]


class Notes(RunEvents):
    """Overrides one event."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def unexpected_write(folder: Path) -> None:
    pytest.fail(f"a checkpoint was written to {folder}")


def test_a_listener_overrides_what_is_of_interest_and_ignores_the_rest() -> None:
    events = Notes()
    events.stage("training")
    events.progress(Progress("read", 1, None))
    events.epoch([{"epoch": 1.0}])
    events.checkpoint(unexpected_write)
    events.note("resumed")
    assert events.texts == ["resumed"]
    assert not events.verbose


def test_forwarded_events_are_all_of_them() -> None:
    """A new event that is not passed on would be lost where events are only listened to."""
    seen: list[str] = []

    class Every(RunEvents):
        def __getattribute__(self, name: str) -> Any:
            if name in EVENTS:
                return lambda argument: seen.append(f"{name} {argument}")
            return super().__getattribute__(name)

    forwarded = ForwardedEvents(Every())
    for name in EVENTS:
        getattr(forwarded, name)("x")
    assert seen == [f"{name} x" for name in EVENTS]
