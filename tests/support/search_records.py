"""Records of made-up searches, for what draws and describes them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from rnnlane.config.search import Space
from rnnlane.records.search import SearchRecord, TrialRecord

POLICY, NORM, MULTIPLE = "training.clip.policy", "training.clip.max_norm", "training.clip.of_mean"
RATE, LAYERS, CELL = "training.learning_rate", "model.num_layers", "model.cell"
SPACE: dict[str, Any] = {
    POLICY: "choice(none, auto)",
    MULTIPLE: {"loguniform": (0.25, 8), "when": {POLICY: ("auto",)}},
    LAYERS: "randint(1, 3)",
    RATE: "loguniform(1e-4, 1e-2)",
}
EPOCHS = 4


def trial(
    number: int, value: float | None, params: Mapping[str, Any] | None = None, **others: Any
) -> TrialRecord:
    """A finished trial that had its value from the first epoch on; without a value no epoch."""
    num_epochs = 0 if value is None else others.pop("num_epochs", EPOCHS)
    history = tuple(
        {"epoch": float(epoch), "val/accuracy": value, "grad_norm/mean": 2.0}
        for epoch in range(1, num_epochs + 1)
    )
    known = {"state": "finished", "value": value, "best_epoch": 2, "history": history, **others}
    return TrialRecord(number=number, params=params or {}, **known)


def search(trials: Sequence[TrialRecord], **others: Any) -> SearchRecord:
    """A search of ``SPACE``; a space may be written as in an experiment file."""
    known: dict[str, Any] = {"name": "demo", "metric": "val/accuracy", "is_larger_better": True}
    known |= {"algorithm": "optuna", "scheduler": "asha", "max_epochs": EPOCHS}
    known |= {"space": SPACE, **others}
    known["space"] = TypeAdapter(Space).validate_python(known["space"])
    return SearchRecord(trials=tuple(trials), **known)


def search_of_learning_rate(num_trials: int = 24) -> SearchRecord:
    """A search whose values depend on the learning rate alone."""
    trials = []
    for i in range(num_trials):
        rate = 10 ** -(2 + (i * 7 % num_trials) / num_trials * 2)
        params = {RATE: rate, LAYERS: 1 + i % 3, POLICY: "none"}
        if i % 2:
            params |= {POLICY: "auto", MULTIPLE: 2.0 ** (i % 7 - 2)}
        value = 0.9 - abs(math.log10(rate) + 3) / 5
        trials.append(trial(i, value, params, clip_norm=1.5 if i % 2 else None, ended_at=i + 1.0))
    return search(trials, best=3)
