"""Runs to compare: their predictions, and what a store knows of them."""

import numpy as np

from rnnlane.inference.kept import KeptRun
from rnnlane.records.predictions import Predictions
from rnnlane.tracking.store import RunSummary


def predictions_of(labels, predicted, *, sure=0.9, keys=None, names=("bad", "good")):
    """Predictions that give the predicted class the probability ``sure``; one number or many."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    num_rows, num_classes = len(labels), len(names)
    sure = np.broadcast_to(sure, num_rows).astype(np.float32)
    probabilities = np.repeat(((1 - sure) / (num_classes - 1))[:, None], num_classes, axis=1)
    probabilities[np.arange(num_rows), predicted] = sure
    return Predictions(
        row_keys=np.arange(num_rows, dtype=np.uint64) if keys is None else keys,
        labels=labels.astype(np.int64),
        probabilities=probabilities.astype(np.float32),
        class_names=tuple(names),
    )


def summary_of(name, *, run_id=None, params=None, **tags):
    return RunSummary(
        run_id=run_id or (name * 32)[:32],
        name=name,
        status="FINISHED",
        started_at=0.0,
        duration_s=1.0,
        metrics={},
        params=params or {},
        tags=tags,
        artifact_uri="",
    )


def kept_run(name, predictions, *, epoch=2, metrics=None, params=None, tags=None):
    summary = summary_of(name, params=params, **(tags or {}))
    return KeptRun(summary, predictions, epoch, metrics or {"test/accuracy": 0.5})
