"""What of the epochs of a run goes where in MLflow, and what of it the store has already."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from rnnlane.records.refit import REFIT, is_refit
from rnnlane.tracking.outbox import RecordKind

MetricStep = tuple[str, int]
"""Key of a metric and a step at which it has a value."""

BEST_PREFIX = "best/"
BEST_EPOCH_METRIC = "best_epoch"
# MLflow draws a metric as a bar for each run if its newest step is 0, else as a curve.
SUMMARY_STEP = 0

# Measured once, before the first epoch; the epochs repeat some of them.
_CONSTANT = "clip/"
# Measured once, at the end, with the weights of the best epoch.
_TESTED = "test/"
_VALIDATED = "val/"


def is_summary(key: str) -> bool:
    """Whether a metric describes the whole run, and is logged at :data:`SUMMARY_STEP`."""
    return key.startswith((BEST_PREFIX, _TESTED)) or key == BEST_EPOCH_METRIC


def summary_of(record: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a whole run.

    Args:
        record: of its best epoch, with its number under ``epoch``; at the end also with the test's
            metrics.

    Returns:
        ``best/val/...`` and ``best_epoch``, and the test's under their keys.
    """
    of_best = {f"{BEST_PREFIX}{k}": float(v) for k, v in record.items() if k.startswith(_VALIDATED)}
    tested = {key: float(value) for key, value in record.items() if key.startswith(_TESTED)}
    return {**of_best, BEST_EPOCH_METRIC: float(record["epoch"]), **tested}


class HistoryLog:
    """Turns the epochs of a run into records for the outbox, each of them once.

    What varies by epoch becomes a metric with the epoch as its step, what is constant becomes a
    param, and what describes the whole run a metric at step 0, which newer values replace.
    """

    def __init__(
        self,
        logged: Collection[MetricStep] = (),
        *,
        summary: Mapping[str, float] | None = None,
        params: Collection[str] = (),
    ):
        """Continues where the store is.

        Args:
            logged: the metrics that the run has already.
            summary: its metrics at step 0.
            params: the keys of its params.
        """
        self.logged = set(logged)
        self._summary = dict(summary or {})
        self._params = set(params)

    def new_records(
        self, history: Sequence[Mapping[str, float]], best_epoch: int | None = None
    ) -> Iterator[tuple[RecordKind, dict[str, Any]]]:
        """Kind and content of the records that bring the store up to date.

        Args:
            history: the whole run so far, see :meth:`MlflowTracker.log_history`; the epochs of a
                refit come last, and have metrics and steps of their own.
            best_epoch: the number of its best epoch; without it no summary is made.
        """
        constants = {}
        for record in history:
            constants.update({k: v for k, v in record.items() if k.startswith(_CONSTANT)})
            yield from self._new_values(record)
        # MLflow refuses a param that has another value, and a run that resumes may measure one.
        params = {k: f"{v:.6g}" for k, v in constants.items() if k not in self._params}
        if params:
            yield "params", params
            self._params.update(params)
        if best_epoch is not None:
            yield from self.new_summary(summary_of(history[best_epoch - 1]))

    def new_summary(
        self, values: Mapping[str, float]
    ) -> Iterator[tuple[RecordKind, dict[str, Any]]]:
        """The record of metrics of the whole run, if one of them has changed."""
        # As text, because a NaN is not equal to itself.
        changed = {k: v for k, v in values.items() if repr(v) != repr(self._summary.get(k))}
        if changed:
            yield "metrics", {"step": SUMMARY_STEP, "values": changed, "replaces": True}
            self._summary.update(changed)

    def _new_values(
        self, record: Mapping[str, float]
    ) -> Iterator[tuple[RecordKind, dict[str, Any]]]:
        epoch = f"{REFIT}epoch" if is_refit(record) else "epoch"
        step = int(record[epoch])
        values = {
            key: float(value)
            for key, value in record.items()
            if key != epoch
            and not key.startswith((_CONSTANT, _TESTED))
            and (key, step) not in self.logged
        }
        if values:
            yield "metrics", {"step": step, "values": values}
            self.logged.update((key, step) for key in values)
