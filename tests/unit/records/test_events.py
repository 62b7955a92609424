from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress


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
