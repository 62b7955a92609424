"""Whether a run has learned anything: what is said instead of showing off an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

# Multiples of the loss of a uniform guess. Below it a model may still be on its way.
_DIVERGED_LOSS = 2.0
# What chance may add to a share, in standard errors.
_STANDARD_ERRORS = 2.0

History = Sequence[Mapping[str, float]]
Confusion = npt.NDArray[np.int64]


def verdict(
    history: History,
    *,
    best_epoch: int,
    confusion: Confusion,
    class_names: Sequence[str],
    refit: History = (),
) -> str | None:
    """Why nobody should use the model, in a phrase; None if there is no such reason.

    Args:
        history: a record for each epoch; empty for a model that is not trained by epochs.
        best_epoch: the epoch, from 1, that the model is of, unless there is a refit.
        confusion: counts of (true, predicted) on test, int64 [C, C].
        class_names: C names.
        refit: a record for each epoch of the refit that the model is of; empty without one.
    """
    diverged = divergence(refit or history, num_classes=len(class_names))
    record = history[best_epoch - 1] if history else {}
    if not all(math.isfinite(record.get(key, 0.0)) for key in ("val/loss", "test/loss")):
        reason = f": {diverged}" if diverged else ""
        return f"without an answer, as no probability is a number{reason}"
    if not learned_nothing(confusion):
        return None
    majority = class_names[int(confusion.sum(axis=1).argmax())]
    accuracy, share = accuracy_of(confusion), majority_share(confusion)
    # Of few test rows chance alone may put an accuracy well above the constant answer's.
    how = "no better" if accuracy <= share else "not shown to be better"
    text = (
        f"{how} than always answering {majority!r}: its test accuracy is {accuracy:.4f}, "
        f"that of the constant answer {share:.4f}"
    )
    return f"{text}; {diverged}" if diverged else text


def divergence(history: History, *, num_classes: int) -> str | None:
    """From which epoch on the training had diverged, in a phrase; None if it did not.

    It had if, up to the last epoch, the loss is not finite or more than twice that of a uniform
    guess: a model that learns nothing stays near that, and one that overfits has a low train loss.
    """
    uniform = math.log(num_classes)
    first = len(history)
    while first and _is_lost(history[first - 1], limit=_DIVERGED_LOSS * uniform):
        first -= 1
    if first == len(history):
        return None
    loss = history[first]["train/loss"]
    return (
        f"training diverged in epoch {first + 1} (train loss {loss:.4g}; "
        f"a uniform guess has {uniform:.4g})"
    )


def learned_nothing(confusion: Confusion) -> bool:
    """Whether neither accuracy nor mean recall is above that of a constant answer.

    By less than two standard errors, that is: chance alone gives as much. The mean recall is that
    of a constant answer, 1 / C, however rare a class is, so a model that finds rare rows at the
    price of others has learned something.
    """
    num_rows = confusion.sum(axis=1)
    present = num_rows > 0
    total, num_classes = int(num_rows.sum()), int(present.sum())
    if total == 0 or num_classes < 2:
        return False
    share, chance = majority_share(confusion), 1 / num_classes
    recall = float((np.diagonal(confusion)[present] / num_rows[present]).mean())
    spread = math.sqrt(share * (1 - share) / total)
    variances = chance * (1 - chance) / num_rows[present]
    recall_spread = math.sqrt(float(variances.sum())) / num_classes
    return (
        accuracy_of(confusion) <= share + _STANDARD_ERRORS * spread
        and recall <= chance + _STANDARD_ERRORS * recall_spread
    )


def accuracy_of(confusion: Confusion) -> float:
    """Share of the rows that are classified correctly; NaN without rows."""
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else math.nan


def majority_share(confusion: Confusion) -> float:
    """Share of the most frequent class, which is the accuracy of always answering it."""
    num_rows = confusion.sum(axis=1)
    return float(num_rows.max()) / float(num_rows.sum()) if num_rows.sum() else math.nan


def interval_of_share(share: float, num_rows: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z2 = 1.96**2
    center = (share + z2 / (2 * num_rows)) / (1 + z2 / num_rows)
    half = math.sqrt(z2 * share * (1 - share) / num_rows + z2**2 / (4 * num_rows**2))
    half /= 1 + z2 / num_rows
    return max(0.0, center - half), min(1.0, center + half)


def _is_lost(record: Mapping[str, float], *, limit: float) -> bool:
    losses = record.get("train/loss", 0.0), record.get("val/loss", 0.0)
    return not all(map(math.isfinite, losses)) or losses[0] > limit
