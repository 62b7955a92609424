"""Optuna's part in a search: where a study is kept, and how values are drawn.

Every draw is a function of the study's trials and of its own trial's number, so that a search that
was killed goes on drawing as if it had not been.
"""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.search import Variation
from rnnlane.config.space import Params, draw, objective

if TYPE_CHECKING:
    import optuna

# Random trials before TPE has something to learn from.
NUM_STARTUP_TRIALS = 8


def open_study(file: Path, name: str, config: ExperimentConfig) -> optuna.Study:
    """A study in a SQLite file; either is made if it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{file.absolute()}", engine_kwargs={"creator": lambda: _connect(file)}
    )
    _, is_larger_better = objective(config)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if is_larger_better else "minimize",
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner(),
    )


def _connect(file: Path) -> sqlite3.Connection:
    """A connection whose commits, some 20 a trial, do not wait for the disk: 5 ms or more each.

    What is committed outlives the process, however that ends; a power cut may take the last
    commits away, but leaves a file in order.
    """
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def drawn(trial: optuna.Trial, config: ExperimentConfig) -> Params:
    """What the search's algorithm gives a trial; values that it has already stay."""

    def choose(key: str, variation: Variation) -> Any:
        # Random numbers of its own: keys drawn before a restart would shift the others'.
        trial.study.sampler = sampler_of(config, number=trial.number, key=key)
        return _suggest(trial, key, variation)

    # What TPE draws jointly is drawn by the sampler of the trial, before any key's.
    _ = trial.relative_params
    return draw(config, choose)


def sampler_of(
    config: ExperimentConfig, *, number: int, key: str = ""
) -> optuna.samplers.BaseSampler:
    """A sampler whose random numbers depend on the trial's number, and on the key, alone."""
    import optuna

    assert config.search is not None
    search = config.search
    place = (config.seed, number, *key.encode())
    state = int(np.random.SeedSequence(place).generate_state(1)[0])
    if search.algorithm != "optuna":
        return optuna.samplers.RandomSampler(seed=state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=state,
            n_startup_trials=NUM_STARTUP_TRIALS,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _suggest(trial: optuna.Trial, name: str, variation: Variation) -> Any:
    if variation.choice is not None:
        return trial.suggest_categorical(name, variation.choice)
    if variation.uniform is not None:
        return trial.suggest_float(name, *variation.uniform)
    if variation.loguniform is not None:
        return trial.suggest_float(name, *variation.loguniform, log=True)
    if variation.randint is not None:
        return trial.suggest_int(name, *variation.randint)
    values = variation.values
    return values[trial.suggest_int(name, 0, len(values) - 1)]
