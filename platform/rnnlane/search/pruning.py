"""Which trials are pruned: pure functions of the learning curves, so a resumed search decides like
one that was not interrupted.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA); Golovin et
al., "Google Vizier", KDD 2017 (median rule). Not ``optuna.pruners``: its SuccessiveHalvingPruner
stores a passed rung when asked, so a trial to be pruned goes on if asked again after a restart, and
its MedianPruner counts no trials but finished ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from rnnlane.config.search import SearchConfig

# With fewer other curves their median says little.
MIN_CURVES_FOR_MEDIAN = 4

Curve = Sequence[float]


def should_prune(
    config: SearchConfig, curve: Curve, others: Sequence[Curve], *, is_larger_better: bool
) -> bool:
    """Whether a trial is to stop before its next epoch.

    Args:
        config: scheduler, grace_epochs and reduction_factor.
        curve: the trial's metric after each epoch so far; at least one.
        others: the same of all other trials, ended or not.
        is_larger_better: which way the metric is better.
    """
    sign = 1.0 if is_larger_better else -1.0
    mine = [sign * value for value in curve]
    theirs = [[sign * value for value in other] for other in others]
    if config.scheduler == "none" or len(mine) < config.grace_epochs:
        return False
    if not math.isfinite(mine[-1]):
        return True
    if config.scheduler == "median":
        return _is_below_median(mine, theirs)
    return is_rung(config, len(mine)) and not _is_among_best(
        mine, theirs, one_in=config.reduction_factor
    )


def is_rung(config: SearchConfig, epoch: int) -> bool:
    """Whether ASHA decides after this epoch: grace_epochs times a power of reduction_factor."""
    rung = config.grace_epochs
    while rung < epoch:
        rung *= config.reduction_factor
    return rung == epoch


def _is_among_best(mine: Curve, theirs: Sequence[Curve], *, one_in: int) -> bool:
    """Whether it is in the best 1/one_in of the trials that reached this epoch, itself included.

    At least one is; a tie goes on.
    """
    epoch = len(mine)
    reached = [other[epoch - 1] for other in theirs if len(other) >= epoch]
    better = sum(value > mine[-1] for value in reached)
    return better < max(1, (len(reached) + 1) // one_in)


def _is_below_median(mine: Curve, theirs: Sequence[Curve]) -> bool:
    """Whether its best value is below the median of the others' means over the same epochs."""
    epoch = len(mine)
    means = [
        math.fsum(other[:epoch]) / epoch
        for other in theirs
        if len(other) >= epoch and not any(math.isnan(value) for value in other[:epoch])
    ]
    if len(means) < MIN_CURVES_FOR_MEDIAN:
        return False
    best = max(value for value in mine if not math.isnan(value))
    return best < median(means)
