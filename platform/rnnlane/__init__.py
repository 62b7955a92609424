"""rnnlane: distributed experiments for text classification with recurrent networks.

>>> import rnnlane
>>> result = rnnlane.train("experiments/demo.yaml")                 # doctest: +SKIP
>>> result.history, result.plot()                                   # doctest: +SKIP
>>> model = rnnlane.load_model(result)                              # doctest: +SKIP
>>> model.predict(["A film to remember."])                          # doctest: +SKIP

Importing it takes milliseconds: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnlane.api.jobs import SubmittedJob, submit
    from rnnlane.api.models import load_model
    from rnnlane.api.progress import SILENT
    from rnnlane.api.verbs import (
        baseline,
        compare,
        ensemble,
        evaluate,
        init_experiment,
        list_runs,
        predict,
        prepare,
        pretrain,
        promote,
        train,
        tune,
    )
    from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
    from rnnlane.errors import RnnlaneError
    from rnnlane.inference.model import Model
    from rnnlane.records.events import RunEvents

    __version__: str

__all__ = [
    "SILENT",
    "ExperimentConfig",
    "Model",
    "RnnlaneError",
    "RunEvents",
    "SubmittedJob",
    "__version__",
    "baseline",
    "compare",
    "ensemble",
    "evaluate",
    "experiment_from_mapping",
    "init_experiment",
    "list_runs",
    "load_experiment",
    "load_model",
    "predict",
    "prepare",
    "pretrain",
    "promote",
    "submit",
    "train",
    "tune",
]

_MODULES = {
    "rnnlane.api.jobs": ("SubmittedJob", "submit"),
    "rnnlane.api.models": ("load_model",),
    "rnnlane.api.progress": ("SILENT",),
    "rnnlane.api.verbs": (
        "baseline",
        "compare",
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
    ),
    "rnnlane.config": ("ExperimentConfig", "experiment_from_mapping", "load_experiment"),
    "rnnlane.errors": ("RnnlaneError",),
    "rnnlane.inference.model": ("Model",),
    "rnnlane.records.events": ("RunEvents",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'rnnlane' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    """Of the installed package; where only its source was sent, as to a job, it has none."""
    from importlib import metadata

    try:
        return metadata.version("rnnlane")
    except metadata.PackageNotFoundError:
        return "unknown"
