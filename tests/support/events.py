"""Events that remember."""

from collections.abc import Callable
from pathlib import Path

from rnnlane.records.events import RunEvents
from rnnlane.records.progress import EpochProgress


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Remembered(RunEvents):
    """Keeps histories, progress, notes, and the checkpoints as folders below ``folder``.

    On ``clock``, writing a checkpoint takes ``write_s``.
    """

    def __init__(
        self, folder: Path | None = None, *, clock: Clock | None = None, write_s: float = 0.0
    ):
        self.folder = folder
        self.clock, self.write_s = clock or Clock(), write_s
        self.histories: list[list[dict[str, float]]] = []
        self.saved_histories: list[list[dict[str, float]]] = []
        self.reported: list[EpochProgress] = []
        self.checkpoints: list[Path] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, progress: EpochProgress) -> None:
        self.reported.append(progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        self.histories.append([dict(record) for record in history])

    def saved(self, history: list[dict[str, float]]) -> None:
        self.saved_histories.append([dict(record) for record in history])

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        if self.folder is not None:
            target = self.folder / f"checkpoint-{len(self.checkpoints)}"
            target.mkdir(parents=True)
            write(target)
            self.checkpoints.append(target)
        self.clock.seconds += self.write_s
