"""The progress of running work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """The progress of a stage.

    Attributes:
        stage: its name, such as ``read`` or ``epoch 3/12``.
        done: units that are done.
        total: units in all; None if unknown.
        unit: what is counted.
        num_bytes: of the units that are done; None where nobody counts.
    """

    stage: str
    done: int
    total: int | None
    unit: str = field(default="rows", kw_only=True)
    num_bytes: int | None = field(default=None, kw_only=True)

    @property
    def detail(self) -> str:
        """The amount done, with its unit, and its bytes."""
        size = "" if self.num_bytes is None else f", {self.num_bytes / 1e6:,.0f} MB"
        return f"{self.done:,} {self.unit}{size}"


@dataclass(frozen=True)
class EpochProgress(Progress):
    """The progress of training within an epoch; ``done`` and ``total`` are optimizer steps.

    Attributes:
        epoch: the epoch under way, from 1.
        num_epochs: epochs of the run.
        loss: mean over the rows of the epoch so far.
        accuracy: share of those rows classified correctly.
        rows_per_s: training speed of the epoch so far.
        left_s: seconds that the rest of the run takes at that speed.
    """

    epoch: int
    num_epochs: int
    loss: float
    accuracy: float
    rows_per_s: float
    left_s: float

    @property
    def detail(self) -> str:
        """Loss, accuracy, speed and the time left, on one line."""
        return (
            f"loss {self.loss:.4f}  accuracy {self.accuracy:.4f}  "
            f"{self.rows_per_s:,.0f} rows/s  {clock(self.left_s)} left"
        )


def clock(seconds: float) -> str:
    """12:34, or 1:23:45."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
