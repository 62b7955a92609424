"""An ablation: the winner of a search, and the winner with one setting changed, over several seeds.

Whoever compares trials of a search compares settings that differ in everything else, and the best
of many is partly luck. Here one setting differs, and every setting has the same training seeds, by
which nothing was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

LEVEL = 0.95
"""Coverage of each interval."""

WINNER = "winner"

# Means that are equal on paper differ in their last digits.
_ROUNDING = 1e-12

Verdict = Literal["better", "worse", "no difference seen", "not measured"]


@dataclass(frozen=True)
class PairedDifference:
    """How much higher one setting's values are than another's, over the seeds that both have.

    Attributes:
        num_pairs: those seeds, at least 2.
        mean: of the differences.
        standard_error: of that mean.
        low, high: its 95% interval, by Student's t with num_pairs - 1 degrees of freedom; without
            end where all differences are the same and not 0.
    """

    num_pairs: int
    mean: float
    standard_error: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether the interval has ends."""
        return math.isfinite(self.low)

    @property
    def is_seen(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def paired_difference(
    reference: Sequence[float | None], values: Sequence[float | None]
) -> PairedDifference | None:
    """``values`` less ``reference``, seed by seed; None with fewer than two pairs.

    A seed that one of them lacks does not count. The interval is exact where the differences are
    normal, and says how much the mean varies with the seeds alone: the rows are the same. Some
    differences that happen to be equal, as accuracies of few rows often are, do not say how much
    they vary.
    """
    from scipy.special import stdtrit

    differences = [
        value - other
        for other, value in zip(reference, values, strict=True)
        if other is not None and value is not None
    ]
    num_pairs = len(differences)
    if num_pairs < 2:
        return None
    mean = math.fsum(differences) / num_pairs
    squares = math.fsum((one - mean) ** 2 for one in differences)
    error = math.sqrt(squares / (num_pairs - 1) / num_pairs)
    if error <= _ROUNDING < abs(mean):
        error = math.inf
    margin = float(stdtrit(num_pairs - 1, (1 + LEVEL) / 2)) * error
    return PairedDifference(num_pairs, mean, error, mean - margin, mean + margin)


@dataclass(frozen=True)
class Setting:
    """The winner, or the winner with one setting changed.

    Attributes:
        label: what is changed, such as ``num_layers=3``; ``winner`` for the winner itself.
        params: its values of the varied and the changed keys.
        num_layers: recurrent layers.
        is_clipped: whether gradients are clipped.
        values: the metric with each seed of the ablation; None where training did not finish.
        reasons: why not, a reason for each such seed.
        key: the changed key; "" for the winner.
    """

    label: str
    params: Mapping[str, Any]
    num_layers: int
    is_clipped: bool
    values: tuple[float | None, ...]
    reasons: tuple[str, ...] = ()
    key: str = ""

    @property
    def mean(self) -> float | None:
        """Of the values there are."""
        known = [value for value in self.values if value is not None]
        return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True)
class Ablation:
    """What was measured, and what follows.

    Attributes:
        is_larger_better: whether a larger value of the search's metric is better.
        seeds: training seeds.
        winner: the reference.
        settings: the others, each with one setting changed.
        own: the winner's value of each key that is changed, for people.
        skipped: the rule that each alternative which was left out breaks, by its label.
        is_complete: whether every training has ended otherwise than by the time budget.
    """

    is_larger_better: bool
    seeds: tuple[int, ...]
    winner: Setting
    settings: tuple[Setting, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True

    def difference(self, setting: Setting) -> PairedDifference | None:
        """The setting's values less the winner's; None with fewer than two seeds of both."""
        return paired_difference(self.winner.values, setting.values)

    def verdict(self, setting: Setting) -> Verdict:
        """What changing the setting does, as far as the interval of the difference tells."""
        difference = self.difference(setting)
        if difference is None:
            return "not measured"
        if not difference.is_seen:
            return "no difference seen"
        return "better" if (difference.mean > 0) == self.is_larger_better else "worse"

    def of_key(self, key: str) -> list[Setting]:
        """The settings that change a key."""
        return [setting for setting in self.settings if setting.key == key]

    @property
    def recommended(self) -> Setting:
        """The simplest setting within the noise of the best.

        The best has the best mean. Within its noise is what falls short of it by at most one
        standard error of their paired difference (the one-standard-error rule of Breiman et al.,
        "Classification and Regression Trees", 1984). Fewer layers are simpler; of as many, no
        clipping is simpler than clipping, whatever the value; of as simple ones the winner comes
        first, then the best mean. Only settings that finished with every seed count; without a
        complete winner nothing can be compared, and it stays.
        """
        complete = [one for one in (self.winner, *self.settings) if None not in one.values]
        if self.winner not in complete:
            return self.winner
        best = max(complete, key=self._merit)
        near = [one for one in complete if self._is_near(one, best)]
        return min(
            near,
            key=lambda one: (
                one.num_layers,
                one.is_clipped,
                one is not self.winner,
                -self._merit(one),
            ),
        )

    def _merit(self, setting: Setting) -> float:
        assert setting.mean is not None
        return setting.mean if self.is_larger_better else -setting.mean

    def _is_near(self, setting: Setting, best: Setting) -> bool:
        if setting is best:
            return True
        difference = paired_difference(best.values, setting.values)
        assert difference is not None
        lead = -difference.mean if self.is_larger_better else difference.mean
        return lead <= difference.standard_error + _ROUNDING

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the result of the search."""
        return {
            "seeds": list(self.seeds),
            "level": LEVEL,
            "winner": self._plain(self.winner),
            "settings": [self._plain(setting) for setting in self.settings],
            "skipped": dict(self.skipped),
            "recommended": self.recommended.label,
            "is_complete": self.is_complete,
        }

    def _plain(self, setting: Setting) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "label": setting.label,
            "params": dict(setting.params),
            "values": list(setting.values),
            "mean": setting.mean,
            "reasons": list(setting.reasons),
        }
        if setting is self.winner:
            return plain
        difference = self.difference(setting)
        low = high = None
        if difference is not None and difference.has_interval:
            low, high = difference.low, difference.high
        return {
            **plain,
            "key": setting.key,
            "difference": None if difference is None else difference.mean,
            "low": low,
            "high": high,
            "num_pairs": 0 if difference is None else difference.num_pairs,
            "verdict": self.verdict(setting),
        }
