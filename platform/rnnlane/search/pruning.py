"""Which trials are pruned: pure functions of the learning curves, so that a resumed search makes
the same decisions as one that was not interrupted.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA); Golovin et
al., "Google Vizier", KDD 2017 (median rule). Not ``optuna.pruners``: its SuccessiveHalvingPruner
stores a rung as passed when asked, so that a trial to be pruned continues if asked again after a
restart, and its MedianPruner only counts finished trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from rnnlane.config.search import SearchConfig

# The median of fewer curves is too noisy.
MIN_CURVES_FOR_MEDIAN = 4

Curve = Sequence[float]


def should_prune(
    config: SearchConfig, curve: Curve, others: Iterable[Curve], *, is_larger_better: bool
) -> bool:
    """Whether a trial must stop before its next epoch.

    Args:
        config: scheduler, grace_epochs and reduction_factor.
        curve: the trial's metric after each epoch so far; at least one.
        others: the same of all other trials, ended or not; they are looked at where they count.
        is_larger_better: which way the metric is better.
    """
    sign = 1.0 if is_larger_better else -1.0
    own = [sign * value for value in curve]
    if config.scheduler == "none" or len(own) < config.grace_epochs:
        return False
    if not math.isfinite(own[-1]):
        return True
    is_asha = config.scheduler == "asha"
    if is_asha and not is_rung(config, len(own)):
        return False
    other_curves = [[sign * value for value in other] for other in others]
    if is_asha:
        return not _is_among_best(own, other_curves, one_in=config.reduction_factor)
    return _is_below_median(own, other_curves)


def is_rung(config: SearchConfig, epoch: int) -> bool:
    """Whether ASHA decides after this epoch: grace_epochs times a power of reduction_factor."""
    rung = config.grace_epochs
    while rung < epoch:
        rung *= config.reduction_factor
    return rung == epoch


def _is_among_best(own: Curve, other_curves: Sequence[Curve], *, one_in: int) -> bool:
    """Whether it is in the best 1/one_in of the trials that reached this epoch, itself included.

    At least one is; ties survive.
    """
    epoch = len(own)
    reached = [other[epoch - 1] for other in other_curves if len(other) >= epoch]
    better = sum(value > own[-1] for value in reached)
    return better < max(1, (len(reached) + 1) // one_in)


def _is_below_median(own: Curve, other_curves: Sequence[Curve]) -> bool:
    """Whether its best value is below the median of the others' means over the same epochs."""
    epoch = len(own)
    means = [
        math.fsum(other[:epoch]) / epoch
        for other in other_curves
        if len(other) >= epoch and not any(math.isnan(value) for value in other[:epoch])
    ]
    if len(means) < MIN_CURVES_FOR_MEDIAN:
        return False
    best = max(value for value in own if not math.isnan(value))
    return best < median(means)
