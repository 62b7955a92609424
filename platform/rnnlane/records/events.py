"""The interface through which running work reports what happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnlane.records.progress import Progress
    from rnnlane.records.search import SearchRecord
    from rnnlane.records.system_use import SystemUse


class RunEvents:
    """What happens while a verb runs. Every method does nothing; override what is of interest.

    Whatever does the work (a stage of prepare, the training loop, a search) calls these; a progress
    bar, the tracker or a queue to the driver overrides them.

    Attributes:
        verbose: whether Ray's own output is wanted as well.
    """

    verbose = False

    def stage(self, text: str) -> None:
        """Something that takes seconds or longer starts."""

    def progress(self, progress: Progress) -> None:
        """The progress of the current stage; called often."""

    def epoch(self, history: list[dict[str, float]]) -> None:
        """An epoch has ended: the records of all finished epochs. Also after a restart.

        Epochs since the last checkpoint are trained again after a restart, and told again.
        """

    def saved(self, history: list[dict[str, float]]) -> None:
        """A checkpoint has these epochs, all that had finished: they are not trained again."""

    def trial(self, search: SearchRecord) -> None:
        """A trial of a search has started, finished an epoch or ended: the whole search so far."""

    def note(self, text: str) -> None:
        """Something that a person should know, in a sentence."""

    def system_use(self, use: SystemUse) -> None:
        """A worker has sampled its machine and device; called from a thread of its own."""

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        """State to keep; ``write`` fills an empty folder. Called by all workers or by none."""


class ForwardedEvents(RunEvents):
    """Passes every event on; a subclass overrides those that it handles itself."""

    def __init__(self, events: RunEvents):
        self._events = events
        self.verbose = events.verbose

    def stage(self, text: str) -> None:
        """See :class:`RunEvents`."""
        self._events.stage(text)

    def progress(self, progress: Progress) -> None:
        """See :class:`RunEvents`."""
        self._events.progress(progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """See :class:`RunEvents`."""
        self._events.epoch(history)

    def saved(self, history: list[dict[str, float]]) -> None:
        """See :class:`RunEvents`."""
        self._events.saved(history)

    def trial(self, search: SearchRecord) -> None:
        """See :class:`RunEvents`."""
        self._events.trial(search)

    def note(self, text: str) -> None:
        """See :class:`RunEvents`."""
        self._events.note(text)

    def system_use(self, use: SystemUse) -> None:
        """See :class:`RunEvents`."""
        self._events.system_use(use)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        """See :class:`RunEvents`."""
        self._events.checkpoint(write)
