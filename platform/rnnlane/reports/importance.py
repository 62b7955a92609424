"""How much each key of a search matters for the value of a trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnlane.records.search import SearchRecord
from rnnlane.reports.scales import scale_of
from rnnlane.reports.trials import measured, values_of, varied_keys

MIN_TRIALS, FEW_TRIALS = 4, 20


@dataclass(frozen=True)
class Importance:
    """How much worse a random forest predicts the values of trials when one key is shuffled.

    Attributes:
        key: the dotted key.
        mean: growth of the squared error on trials that the forest has not seen, as a share of the
            values' variance; 0 or less for a key that makes no difference.
        std: over the folds of the cross-validation.
    """

    key: str
    mean: float
    std: float


def importances(search: SearchRecord) -> list[Importance]:
    """Permutation importance (Breiman, 2001) of each key that took several values, largest first.

    A key that did not apply counts as a value of its own. Deterministic. Empty if fewer than
    ``MIN_TRIALS`` trials have a value, or none of the keys varied, or all values are equal.
    """
    # Not optuna.importance: its evaluators judge a model on the trials it was fitted to, and share
    # 100% among the keys even where none has an effect, so nothing could advise to fix a key.
    trials = measured(search)
    target = np.array(values_of(trials))
    scales = [scale_of(search, key) for key in varied_keys(search)]
    columns = {scale.key: [scale.position_of(trial) for trial in trials] for scale in scales}
    columns = {key: column for key, column in columns.items() if len(set(column)) > 1}
    if len(trials) < MIN_TRIALS or not columns or np.ptp(target) == 0:
        return []
    increases = _error_increases(np.array(list(columns.values())).T, target)
    by_key = zip(columns, increases.mean(axis=0), increases.std(axis=0), strict=True)
    return sorted(
        (Importance(key, float(mean), float(std)) for key, mean, std in by_key),
        key=lambda importance: -importance.mean,
    )


def _error_increases(
    features: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Increase of the error on held-out trials when a feature is shuffled.

    Args:
        features: [N, F].
        target: [N], not constant.

    Returns:
        float64 [folds, F], in units of the target's variance.
    """
    # These take a second to import, which no other part of a report should wait for.
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    increases = []
    folds = KFold(min(5, len(target) // 2), shuffle=True, random_state=0)
    # Standardized, because the squares of a loss that exploded overflow.
    target = (target - target.mean()) / max(target.std(), np.finfo(np.float64).tiny)
    for train, held_out in folds.split(features):
        forest = RandomForestRegressor(50, min_samples_leaf=2, random_state=0)
        forest.fit(features[train], target[train])
        shuffled = permutation_importance(
            forest,
            features[held_out],
            target[held_out],
            scoring="neg_mean_squared_error",
            n_repeats=5,
            random_state=0,
        )
        increases.append(shuffled.importances_mean)
    return np.array(increases)
