"""Whether two runs differ in accuracy, judged on the same rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.errors import ConfigError
from rnnlane.records.predictions import Predictions

LEVEL = 0.95
"""Coverage of the bootstrap interval."""

NUM_RESAMPLES = 10_000
# Text settings leave a few rows empty, or make them equal to others: those cannot be compared.
MAX_UNSHARED = 0.01


@dataclass(frozen=True)
class PairedTest:
    """The second of two runs against the first, on the rows that both have answered.

    Attributes:
        num_rows: rows that both have.
        num_unshared: rows that only one of them has.
        first_accuracy: of the first run on the shared rows.
        second_accuracy: of the second.
        difference: second_accuracy - first_accuracy.
        low, high: the 95% bootstrap interval of the difference.
        num_won: rows that the second alone has right.
        num_lost: rows that the first alone has right.
        p_value: of McNemar's test with mid-p, two-sided, in [0, 1].
        exact_p_value: the same without the correction, which rejects too rarely.
    """

    num_rows: int
    num_unshared: int
    first_accuracy: float
    second_accuracy: float
    difference: float
    low: float
    high: float
    num_won: int
    num_lost: int
    p_value: float
    exact_p_value: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def paired_test(first: Predictions, second: Predictions, *, seed: int = 0) -> PairedTest:
    """Compares the accuracies of two runs by McNemar's test and the bootstrap.

    Both look at nothing but the rows that one run has right and the other wrong. Neither knows how
    much accuracy varies with the seed of training: that takes several runs each.

    Args:
        first: the run compared with.
        second: the other run; a positive difference is in its favor.
        seed: of the bootstrap.

    Raises:
        ConfigError: the classes differ, or more than 1% of the rows of either run.
    """
    first_rows, second_rows = shared_rows(first, second)
    first_right, second_right = first.is_right[first_rows], second.is_right[second_rows]
    num_rows = len(first_rows)
    won = int(np.count_nonzero(second_right & ~first_right))
    lost = int(np.count_nonzero(first_right & ~second_right))
    mid_p, exact = mcnemar(won, lost)
    low, high = bootstrap_interval(won, lost, num_rows, seed=seed)
    return PairedTest(
        num_rows=num_rows,
        num_unshared=len(first) + len(second) - 2 * num_rows,
        first_accuracy=float(first_right.mean()),
        second_accuracy=float(second_right.mean()),
        difference=(won - lost) / num_rows,
        low=low,
        high=high,
        num_won=won,
        num_lost=lost,
        p_value=mid_p,
        exact_p_value=exact,
    )


def shared_rows(
    first: Predictions, second: Predictions
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions of the rows that both have, in one order: int64 [M] in each.

    Raises:
        ConfigError: the classes differ, or more than 1% of the rows of either run.
    """
    if first.class_names != second.class_names:
        raise ConfigError(
            f"runs can be compared if they have the same classes, but one has "
            f"{_named(first.class_names)} and another {_named(second.class_names)}",
            remedy="compare runs of the same data and the same data.classes",
        )
    _, first_rows, second_rows = np.intersect1d(
        first.row_keys, second.row_keys, assume_unique=True, return_indices=True
    )
    num_shared, num_rows = len(first_rows), max(len(first), len(second))
    if not num_shared or num_shared < (1 - MAX_UNSHARED) * num_rows:
        raise ConfigError(
            f"runs can be compared on the same rows, but of {len(first):,} and {len(second):,} "
            f"rows they share {num_shared:,}; at most {MAX_UNSHARED:.0%} may be missing",
            remedy="compare runs of the same data, seed, data.test and data.val; training.seed may "
            "differ",
        )
    return first_rows, second_rows


def mcnemar(won: int, lost: int) -> tuple[float, float]:
    """Two-sided p-values of ``won`` against ``lost`` under a fair coin: with mid-p, and exact.

    Counts 0 and 0 give 1 and 1.
    """
    from scipy.stats import binom

    fewer, total = min(won, lost), won + lost
    twice_tail = 2.0 * float(binom.cdf(fewer, total, 0.5))
    # With mid-p, the outcome itself counts half in each tail.
    mid_p = twice_tail - float(binom.pmf(fewer, total, 0.5))
    return min(1.0, max(0.0, mid_p)), min(1.0, twice_tail)


def bootstrap_interval(won: int, lost: int, num_rows: int, *, seed: int) -> tuple[float, float]:
    """The percentile interval of (won - lost) / num_rows when the rows are drawn again.

    Drawing N rows with replacement gives multinomial counts of won, lost and tied rows, so these
    are drawn, which takes the same time for any N.
    """
    shares = np.array([won, lost, num_rows - won - lost]) / num_rows
    counts = np.random.default_rng(seed).multinomial(num_rows, shares, size=NUM_RESAMPLES)
    differences = (counts[:, 0] - counts[:, 1]) / num_rows
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def _named(names: tuple[str, ...], *, most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
