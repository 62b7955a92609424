"""How Optuna stores the study of a search and samples values.

Every sample is a function of the trials in the study before it and of its own trial's number, so
that a resumed search samples the same values as one that was not interrupted.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.search import Variation
from rnnlane.config.space import Params, draw, identity, objective, other_points, search_of

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

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


def suggest_params(
    trial: optuna.Trial, config: ExperimentConfig, tried: Collection[str] = ()
) -> Params:
    """Samples the values of a trial by the search's algorithm; existing values are kept.

    Training is deterministic, so what was tried is not sampled again: where the algorithm does,
    the trial gets one of the settings that are left, at random.

    Args:
        trial: of Optuna.
        config: an experiment with a search.
        tried: :func:`~rnnlane.config.space.identity` of the values of all trials before it.
    """
    drawn: dict[str, Any] = {}
    sample = _Sampled(trial, config)

    def choose(key: str, variation: Variation) -> Any:
        drawn[key] = sample(key, variation)
        return _value(variation, drawn[key])

    params = draw(config, choose)
    if identity(params) in tried and (left := other_points(config, tried)):
        random = np.random.default_rng((config.seed, trial.number))
        params = left[int(random.integers(len(left)))]
        space = search_of(config).space
        drawn = {key: _drawn(space[key], value) for key, value in params.items()}
    trial.study.sampler = _given(drawn)
    return draw(config, lambda key, variation: _suggest(trial, key, variation))


class _Sampled:
    """What the search's algorithm samples for a trial, before Optuna stores any of it."""

    def __init__(self, trial: optuna.Trial, config: ExperimentConfig):
        self._config, self._study = config, trial.study
        self._trial = self._study.get_trials(deepcopy=False)[trial.number]
        sampler = make_sampler(config, number=trial.number)
        # TPE's joint sample.
        space = sampler.infer_relative_search_space(self._study, self._trial)
        self._joint = sampler.sample_relative(self._study, self._trial, space)

    def __call__(self, key: str, variation: Variation) -> Any:
        if key in self._joint:
            return self._joint[key]
        # A random stream for each key, whichever others apply.
        sampler = make_sampler(self._config, number=self._trial.number, key=key)
        values = _distribution(variation)
        return sampler.sample_independent(self._study, self._trial, key, values)


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


def _given(values: Params) -> optuna.samplers.BaseSampler:
    """Samples these values."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(values, optuna.samplers.RandomSampler(seed=0))


def _distribution(
    variation: Variation,
) -> CategoricalDistribution | FloatDistribution | IntDistribution:
    """What Optuna samples from: for `steps`, places in the list of values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if variation.choice is not None:
        return CategoricalDistribution(variation.choice)
    if variation.uniform is not None:
        return FloatDistribution(*variation.uniform)
    if variation.loguniform is not None:
        return FloatDistribution(*variation.loguniform, log=True)
    if variation.randint is not None:
        return IntDistribution(*variation.randint)
    return IntDistribution(0, len(variation.values) - 1)


def _value(variation: Variation, drawn: Any) -> Any:
    """The value of what Optuna drew."""
    return variation.values[drawn] if variation.steps is not None else drawn


def _drawn(variation: Variation, value: Any) -> Any:
    """What Optuna draws for a value."""
    return variation.values.index(value) if variation.steps is not None else value


def _suggest(trial: optuna.Trial, key: str, variation: Variation) -> Any:
    """Has Optuna store what its sampler gives for a key; returns the value."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values = _distribution(variation)
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(key, values.choices)
    if isinstance(values, FloatDistribution):
        return trial.suggest_float(key, values.low, values.high, log=values.log)
    return _value(variation, trial.suggest_int(key, values.low, values.high))
