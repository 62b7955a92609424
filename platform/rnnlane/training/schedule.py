"""Learning rate, best epoch and early stopping: pure functions of the step and the history.

Nothing here has state, so a resumed run needs only its history to decide the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rnnlane.config.section import ValMetric
from rnnlane.config.training import ScheduleConfig, TrainingConfig
from rnnlane.errors import TrainingError

History = Sequence[Mapping[str, float]]


def is_better(metric: ValMetric, value: float, than: float) -> bool:
    """Whether a value is better than another: lower for a loss, and any number beats NaN."""
    if math.isnan(than):
        return not math.isnan(value)
    return value < than if metric.endswith("loss") else value > than


def best_epoch(metric: ValMetric, history: History) -> int:
    """Index in the history of the first epoch with the best value; 0 if it is empty.

    Raises:
        TrainingError: the history lacks the metric (ROC AUC exists for two classes only).
    """
    best = 0
    for index, record in enumerate(history):
        if metric not in record:
            raise TrainingError(
                f"training.metric must be a metric of this run, but got {metric}; "
                f"measured are {', '.join(key for key in record if key.startswith('val/'))}",
                where="training.metric",
                remedy="val/roc_auc needs two classes; choose val/macro_f1",
            )
        if is_better(metric, record[metric], history[best][metric]):
            best = index
    return best


def should_stop(config: TrainingConfig, history: History) -> bool:
    """Whether the metric has not improved for ``early_stopping`` epochs."""
    if config.early_stopping is None or not history:
        return False
    return len(history) - 1 - best_epoch(config.metric, history) >= config.early_stopping


def learning_rate(config: TrainingConfig, *, step: int, num_steps: int, history: History) -> float:
    """The learning rate of a step.

    Args:
        config: initial rate and schedule.
        step: optimizer steps of the run before this one.
        num_steps: optimizer steps of the whole run.
        history: the records of the finished epochs.
    """
    schedule = config.schedule
    warmup = schedule.warmup_steps
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if schedule.kind == "cosine":
        progress = min(1.0, (step - warmup) / max(1, num_steps - warmup))
        low = schedule.final_factor
        return config.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress)))
    if schedule.kind == "plateau":
        return config.learning_rate * schedule.factor ** _reductions(
            schedule, config.metric, history
        )
    return config.learning_rate


def _reductions(schedule: ScheduleConfig, metric: ValMetric, history: History) -> int:
    """Number of plateaus: more than ``patience`` epochs in a row without a new best value."""
    reductions = waited = 0
    best: float | None = None
    for record in history:
        if best is None or is_better(metric, record[metric], best):
            best, waited = record[metric], 0
            continue
        waited += 1
        if waited > schedule.patience:
            reductions, waited = reductions + 1, 0
    return reductions
