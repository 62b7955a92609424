"""How Optuna stores the study of a search and samples values.

Every sample is a function of the trials in the study and of its own trial's number, so that a
resumed search samples the same values as one that was not interrupted.
"""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.search import Variation
from rnnlane.config.space import Params, draw, objective, search_of

if TYPE_CHECKING:
    import optuna

# Trials sampled at random before TPE models their results; Optuna's default is 10.
NUM_STARTUP_TRIALS = 8


def open_optuna_study(file: Path, name: str, config: ExperimentConfig) -> optuna.Study:
    """A study in a SQLite file; either is created if it does not exist."""
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
    """A connection whose commits, some 20 a trial, do not wait 5 ms or more each for the disk.

    A commit survives the end of the process, however it ends; a power failure may lose the last
    commits, but does not damage the file.
    """
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def suggest_params(trial: optuna.Trial, config: ExperimentConfig) -> Params:
    """Samples the values of a trial by the search's algorithm; existing values are kept."""

    def choose(key: str, variation: Variation) -> Any:
        # A random stream for each key: with one for all, a resumed trial, which samples only its
        # missing keys, would get other values.
        trial.study.sampler = make_sampler(config, number=trial.number, key=key)
        return _suggest(trial, key, variation)

    # Computed here, by the trial's own sampler, before `choose` replaces it: TPE's joint sample.
    _ = trial.relative_params
    return draw(config, choose)


def make_sampler(
    config: ExperimentConfig, *, number: int, key: str = ""
) -> optuna.samplers.BaseSampler:
    """A sampler whose random numbers depend on the seed, the trial's number and the key alone."""
    import optuna

    entropy = (config.seed, number, *key.encode())
    state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    if search_of(config).algorithm != "optuna":
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
