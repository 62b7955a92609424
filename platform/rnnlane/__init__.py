"""rnnlane: distributed experiments for text classification with recurrent networks.

>>> from rnnlane import load_experiment, train, predict
>>> result = train(load_experiment("experiments/demo.yaml"))        # doctest: +SKIP
>>> predict(["A film to remember."], run=result.run_id)             # doctest: +SKIP
"""

from __future__ import annotations

import os

# Torch reads it at its first tensor, in this process and in those that it starts: large tensors
# on huge pages. A step's tensors come and go, and in small pages the kernel's work of mapping them
# anew takes up to a third of the step of a large LSTM.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
from rnnlane.errors import RnnlaneError
from rnnlane.pipeline import baseline, evaluate, list_runs, predict, prepare, train, tune
from rnnlane.records.events import RunEvents

__all__ = [
    "ExperimentConfig",
    "RnnlaneError",
    "RunEvents",
    "baseline",
    "evaluate",
    "experiment_from_mapping",
    "list_runs",
    "load_experiment",
    "predict",
    "prepare",
    "train",
    "tune",
]
