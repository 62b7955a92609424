import sqlite3

import optuna
import pytest

from rnnlane.config.search import Variation
from rnnlane.ray_cluster.internals import reopen_trial
from rnnlane.search.sampling import (
    _suggest,
    make_sampler,
    open_optuna_study,
    suggest_params,
)
from support.study import experiment

DISTRIBUTIONS = [
    Variation(choice=("a", 1, None)),
    Variation(uniform=(0.5, 2.0)),
    Variation(loguniform=(1e-4, 1e-2)),
    Variation(randint=(2, 5)),
    Variation(steps=(0.1, 0.5, 0.2)),
]


def test_a_study_keeps_its_trials_and_goes_the_way_of_its_metric(tmp_path):
    for metric, direction in (("val/loss", "MINIMIZE"), ("val/accuracy", "MAXIMIZE")):
        file = tmp_path / f"{direction}.sqlite"
        config = experiment(metric=metric)
        open_optuna_study(file, "trials", config).ask()
        study = open_optuna_study(file, "trials", config)
        assert (len(study.trials), study.direction.name) == (1, direction)
        assert open_optuna_study(file, "seeds", config).trials == []


def test_commits_do_not_wait_for_the_disk(tmp_path):
    open_optuna_study(tmp_path / "trials.sqlite", "trials", experiment())
    with sqlite3.connect(tmp_path / "trials.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("variation", DISTRIBUTIONS, ids=lambda each: each.distribution)
def test_each_distribution_is_sampled_within_its_values(variation):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [_suggest(study.ask(), "key", variation) for _ in range(60)]
    if variation.is_continuous:
        low, high = variation.arguments
        assert all(low <= value <= high for value in values)
        middle = (low * high) ** 0.5 if variation.loguniform else (low + high) / 2
        assert 15 < sum(value < middle for value in values) < 45
    else:
        assert all(variation.can_be(value) for value in values)
        assert set(values) == set(variation.values)


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_samples_depend_on_seed_trial_and_key_alone(algorithm):
    def sample(*, seed: int = 0, number: int = 3, key: str = "a") -> float:
        config = experiment(algorithm=algorithm).model_copy(update={"seed": seed})
        study = optuna.create_study(sampler=make_sampler(config, number=number, key=key))
        return study.ask().suggest_float("x", 0, 1)

    assert sample() == sample()
    assert len({sample(), sample(seed=1), sample(number=4), sample(key="b")}) == 4


def test_values_that_a_trial_has_are_kept(tmp_path):
    config = experiment()
    trial = open_optuna_study(tmp_path / "trials.sqlite", "trials", config).ask()
    first = suggest_params(trial, config)
    assert suggest_params(trial, config) == first
    assert first.keys() <= config.search.space.keys()


def test_a_stored_trial_that_has_not_ended_can_be_continued(tmp_path):
    file, config = tmp_path / "trials.sqlite", experiment()
    first = open_optuna_study(file, "trials", config).ask()
    rate = first.suggest_float("rate", 0, 1)
    study = open_optuna_study(file, "trials", config)
    trial = reopen_trial(study, study.get_trials()[0])
    assert trial.number == first.number
    assert trial.suggest_float("rate", 0, 1) == rate
    study.tell(trial, 0.5)
    assert [each.value for each in study.get_trials()] == [0.5]
