"""rnnlane: distributed experiments for text classification with recurrent networks.

>>> from rnnlane import load_experiment, train, predict
>>> result = train(load_experiment("experiments/demo.yaml"))        # doctest: +SKIP
>>> predict(["A film to remember."], run=result.run_id)             # doctest: +SKIP
"""

from __future__ import annotations

from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
from rnnlane.errors import RnnlaneError
from rnnlane.pipeline import (
    baseline,
    compare,
    evaluate,
    list_runs,
    predict,
    prepare,
    train,
    tune,
)
from rnnlane.records.events import RunEvents

__all__ = [
    "ExperimentConfig",
    "RnnlaneError",
    "RunEvents",
    "baseline",
    "compare",
    "evaluate",
    "experiment_from_mapping",
    "list_runs",
    "load_experiment",
    "predict",
    "prepare",
    "train",
    "tune",
]
