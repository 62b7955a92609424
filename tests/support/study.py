"""Studies of searches, filled by hand or killed at any of their writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.records.search import TrialRecord
from rnnlane.search.study import TrialStudy, open_trials

SPACE = {
    "model.num_layers": "choice(1, 2)",
    "model.dropout": {"steps": [0.1, 0.3, 0.2], "when": {"model.num_layers": [2]}},
    "model.hidden_size": "steps(16, 64, 16)",
}
WIDE = {
    **SPACE,
    "model.embedding_dim": "randint(8, 32)",
    "training.weight_decay": "uniform(0, 0.1)",
    "training.learning_rate": "loguniform(1e-3, 1e-1)",
    "training.clip.policy": "choice(auto, none)",
    "training.clip.of_mean": {"loguniform": [0.25, 8], "when": {"training.clip.policy": ["auto"]}},
}


def experiment(**search: Any) -> ExperimentConfig:
    search = {"space": WIDE, "algorithm": "random", "num_trials": 4, "max_epochs": 4, **search}
    source = {"kind": "generated"}
    return experiment_from_mapping({"name": "x", "data": {"source": source}, "search": search})


def record_of(value: float, epoch: int, **others: float) -> dict[str, float]:
    return {"epoch": float(epoch), "val/accuracy": value, "val/loss": -value, **others}


class Killed(BaseException):
    """What ``kill -9`` is to a process."""


@contextmanager
def killed_after(num_writes: int | None) -> Iterator[list[int]]:
    """Kills before a write of the study reaches the file; gives the number of writes so far."""
    storage = optuna.storages.RDBStorage
    names = [
        "_create_new_trial",
        "_set_trial_param",
        "set_trial_system_attr",
        "set_trial_user_attr",
        "set_trial_intermediate_value",
        "set_trial_state_values",
    ]
    writes = [0]

    def counted(real: Callable) -> Callable:
        def write(*arguments: Any, **keywords: Any) -> Any:
            if writes[0] == num_writes:
                raise Killed
            writes[0] += 1
            return real(*arguments, **keywords)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(storage, name, counted(getattr(storage, name)))
        yield writes


def fresh(tmp_path: Path, **search: Any) -> tuple[TrialStudy, Callable[[], TrialStudy]]:
    config = experiment(**search)

    def reopen() -> TrialStudy:
        return open_trials(tmp_path / "trials.sqlite", config, key="s")

    return reopen(), reopen


def end_trial(
    study: TrialStudy, number: int, values: list[float], state: str = "finished"
) -> TrialRecord:
    study.report(number, [record_of(value, e) for e, value in enumerate(values, start=1)])
    record = study.mark_ended(number, state)
    study.tell(number)
    return record
