"""The verbs of the command line, one function each; all can be called from a notebook.

torch, Ray and MLflow take seconds to import, so each function imports what it needs where it needs
it.
"""

from rnnlane.pipeline.asking import clean, compare, evaluate, list_runs, predict, promote
from rnnlane.pipeline.drafting import copy_examples, init_experiment
from rnnlane.pipeline.executing import baseline, ensemble, prepare, pretrain, train, tune

__all__ = [
    "baseline",
    "clean",
    "compare",
    "copy_examples",
    "ensemble",
    "evaluate",
    "init_experiment",
    "list_runs",
    "predict",
    "prepare",
    "pretrain",
    "promote",
    "train",
    "tune",
]
