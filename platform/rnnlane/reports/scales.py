"""Where a value stands in the range that its key may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rnnlane.config.search import Variation
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.trials import format_value, is_number, sorted_values

# Below the range of every scale, so that a tree can tell a key that did not apply from any value.
ABSENT_POSITION = -0.18
_MAX_LISTED = 6


@dataclass(frozen=True)
class Scale:
    """Maps the values of one key to positions between 0 and 1.

    Attributes:
        key: the dotted key.
        low: value at 0; of a scale with categories 0.
        high: value at 1; of a scale with categories their number less one.
        is_log: even steps are even ratios.
        categories: evenly spaced values; empty for a scale of numbers.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    categories: tuple[Any, ...] = ()

    def position(self, value: Any) -> float:
        """From 0 to 1, or beyond for a number outside the range; 0.5 if there is one value."""
        # By their text, as 1 and true are equal.
        texts = [repr(category) for category in self.categories]
        number = float(texts.index(repr(value)) if texts else value)
        low, high = self.low, self.high
        if self.is_log:
            low, high, number = math.log(low), math.log(high), math.log(number)
        return 0.5 if high == low else (number - low) / (high - low)

    def position_of(self, trial: TrialRecord) -> float:
        """The position of a trial's value; ``ABSENT_POSITION`` if the key did not apply."""
        return (
            self.position(trial.params[self.key]) if self.key in trial.params else ABSENT_POSITION
        )

    def ticks(self) -> list[tuple[float, str]]:
        """Positions to mark and what to write there."""
        values = self.categories
        if not values:
            spaced = np.geomspace if self.is_log else np.linspace
            values = tuple(spaced(self.low, self.high, 5 if self.low < self.high else 1).tolist())
        return [(self.position(value), format_value(value)) for value in values]


def scale_of(search: SearchRecord, key: str) -> Scale:
    """The scale of a varied key: that of its distribution, widened to all values that occurred.

    Few different whole numbers or steps are categories too.
    """
    variation = search.space.get(key)
    values = [trial.params[key] for trial in search.trials if key in trial.params]
    categories = sorted_values(values)
    is_listed = variation is not None and (
        variation.choice is not None
        or not (variation.is_continuous or len(categories) > _MAX_LISTED)
    )
    if is_listed or not values or not all(is_number(value) for value in values):
        return Scale(key, 0.0, max(len(categories) - 1.0, 0.0), categories=tuple(categories))
    bounds = [*values, *(_range(variation) or ())]
    is_log = variation is not None and variation.loguniform is not None and min(bounds) > 0
    return Scale(key, float(min(bounds)), float(max(bounds)), is_log)


def range_end(search: SearchRecord, key: str, value: Any) -> Literal["low", "high"] | None:
    """The end of its range that a value stands at, if the range could go on there.

    A tenth of a continuous range counts as its end. Two values alone have no inside; counts cannot
    go below 1, nor other numbers to 0 or less.
    """
    variation = search.space.get(key)
    ends = _range(variation)
    if variation is None or ends is None or not is_number(value):
        return None
    position = Scale(key, *ends, is_log=variation.loguniform is not None).position(value)
    margin = 0.1 if variation.is_continuous else 1e-9
    if position >= 1 - margin:
        return "high"
    is_lowest = ends[0] <= (1 if isinstance(value, int) else 0)
    return "low" if position <= margin and not is_lowest else None


def _range(variation: Variation | None) -> tuple[float, float] | None:
    """Lowest and highest number; None for fewer than three choices, or some that are no numbers."""
    if variation is None:
        return None
    values = variation.choice or variation.arguments[:2]
    if not all(is_number(value) for value in values) or (variation.choice and len(values) < 3):
        return None
    return float(min(values)), float(max(values))
