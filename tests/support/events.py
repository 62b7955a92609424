"""Events that remember."""

from collections.abc import Callable
from pathlib import Path

from rnnlane.records.events import RunEvents
from rnnlane.records.progress import EpochProgress


class Remembered(RunEvents):
    """Keeps histories, progress, notes, and the checkpoints as folders below ``folder``."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self.histories: list[list[dict[str, float]]] = []
        self.reported: list[EpochProgress] = []
        self.checkpoints: list[Path] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, progress: EpochProgress) -> None:
        self.reported.append(progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        self.histories.append([dict(record) for record in history])

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        if self.folder is not None:
            target = self.folder / f"checkpoint-{len(self.checkpoints)}"
            target.mkdir(parents=True)
            write(target)
            self.checkpoints.append(target)
