"""Two sides measured in turn, and the row of the table that comes of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is compared with what.
        value: the median of the rounds: a ratio (above 1 where ours is better) or a share.
        low: of the rounds.
        high: of the rounds.
        goal: what is to be reached; None where the value only informs.
        is_limit: the goal is the most that is allowed, not the least.
        details: the measured quantities behind it, with their units in the names.
        skipped: why it was not measured; the value means nothing then.
    """

    name: str
    value: float
    low: float
    high: float
    goal: float | None = None
    is_limit: bool = False
    details: Mapping[str, float | str] = field(default_factory=dict)
    skipped: str = ""

    @property
    def verdict(self) -> str:
        """How the value stands to the goal."""
        if self.goal is None:
            return ""
        reached = self.value <= self.goal if self.is_limit else self.value >= self.goal
        return f"{'reached' if reached else 'SHORT'} ({'<=' if self.is_limit else '>='}{self.goal})"

    def as_text(self) -> str:
        """A line for people."""
        if self.skipped:
            return f"{self.name:54} skipped: {self.skipped}"
        details = ", ".join(
            f"{key} {value if isinstance(value, str) else f'{value:,.4g}'}"
            for key, value in self.details.items()
        )
        spread = f"({self.low:.2f} to {self.high:.2f})"
        return f"{self.name:54} {self.value:6.2f} {spread:18} {self.verdict:18} {details}"


def row(name: str, values: list[float], **rest: object) -> Row:
    """The row of one value a round."""
    return Row(name, statistics.median(values), min(values), max(values), **rest)  # type: ignore[arg-type]


def skipped(name: str, reason: str) -> Row:
    """A row that cannot be measured here."""
    return Row(name, 0.0, 0.0, 0.0, skipped=reason)


def alternate(*sides: Callable[[], float], rounds: int = ROUNDS) -> list[tuple[float, ...]]:
    """What each side gives in each round: a drift of the machine's load falls on all of them."""
    return [tuple(side() for side in sides) for _ in range(rounds)]


def medians(rounds: list[tuple[float, ...]]) -> list[float]:
    """Of each side."""
    return [statistics.median(values) for values in zip(*rounds, strict=True)]
