"""Who is told how work is coming along."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnlane.tracking.trials import SearchRecord
    from rnnlane.training.loop import Progress


class Observer:
    """What is told while a verb runs; override what is of interest."""

    verbose = False

    def stage(self, text: str) -> None:
        """Something starts that takes seconds or more."""

    def preparing(self, stage: str, done: int, total: int | None) -> None:
        """Rows that a stage of prepare has done, of how many where that is known."""

    def progress(self, progress: Progress) -> None:
        """Where training stands within an epoch."""

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Records of all finished epochs; called after each."""

    def searching(self, search: SearchRecord) -> None:
        """How a search stands; called whenever a trial starts, has an epoch, or ends."""

    def note(self, text: str) -> None:
        """Something that a person should know, in a sentence."""
