import inspect
from pathlib import Path

from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress

METHODS = {name for name in vars(RunEvents) if not name.startswith("_") and name != "verbose"}


def test_by_default_every_event_is_ignored(tmp_path: Path) -> None:
    def write(_folder: Path) -> None:
        raise AssertionError("nobody asked for the checkpoint")

    arguments = {
        "stage": "preparing",
        "progress": Progress("preparing", 1, 2),
        "epoch": [{"epoch": 1.0}],
        "trial": object(),
        "note": "a sentence",
        "checkpoint": write,
    }
    assert arguments.keys() == METHODS
    events = RunEvents()
    for name, argument in arguments.items():
        assert getattr(events, name)(argument) is None
    assert not events.verbose


def test_every_event_has_one_argument_so_that_a_queue_can_pass_it_on() -> None:
    for name in METHODS:
        assert len(inspect.signature(getattr(RunEvents, name)).parameters) == 2, name
