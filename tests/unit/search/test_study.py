import itertools
import math
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.config.space import grid
from rnnlane.errors import ConfigError
from rnnlane.search import sampling
from rnnlane.search import study as study_module
from rnnlane.search.study import TrialSpec, TrialStudy, open_repeats, open_trials
from support.study import (
    SPACE,
    WIDE,
    Killed,
    end_trial,
    experiment,
    fresh,
    killed_after,
    record_of,
)

COMBINATIONS = list(itertools.product(["random", "optuna", "grid"], ["asha", "median", "none"]))


def search_with(algorithm: str, scheduler: str, **search: Any) -> ExperimentConfig:
    space = SPACE if algorithm == "grid" else WIDE
    return experiment(
        space=space, algorithm=algorithm, scheduler=scheduler, reduction_factor=2, **search
    )


def curve(params: dict, epoch: int) -> float:
    """A learning curve that depends on every key; some settings diverge, some from the start."""
    rate = params.get("training.learning_rate", 0.01)
    if rate > 0.08 or (rate > 0.05 and epoch > 2):
        return math.nan
    good = 1 - 0.1 * abs(math.log10(rate) + 2) - abs(params["model.hidden_size"] - 48) / 300
    good -= params.get("model.dropout", 0.2) / 10 + params.get("training.weight_decay", 0)
    return good * (1 - 0.5 / epoch)


class Worker:
    """Trains like a trial's process: a checkpoint each epoch, from which it continues."""

    def __init__(self, *, keeps_checkpoints: bool = True):
        self.done: dict[str, int] = {}
        self.keeps_checkpoints = keeps_checkpoints

    def run(self, study: TrialStudy, spec: TrialSpec) -> str:
        epochs = spec.config.training.epochs
        first = max(1, self.done.get(spec.key, 0)) if self.keeps_checkpoints else 1
        for epoch in range(first, epochs + 1):
            self.done[spec.key] = epoch
            history = [
                record_of(curve(spec.sample.params, e), e, **{"grad_norm/mean": 1 / e})
                for e in range(1, epoch + 1)
            ]
            if study.report(spec.number, history):
                return "pruned"
        return "finished"


def work_through(study: TrialStudy, worker: Worker) -> None:
    while (spec := study.ask()) is not None:
        study.mark_ended(spec.number, worker.run(study, spec))
        study.tell(spec.number)


def findings(study: TrialStudy) -> list[tuple]:
    """Values and results of each trial; as text, in which NaN equals NaN."""
    return [
        (trial.key, str(trial.params), trial.state, str(trial.history), trial.value, trial.reason)
        for trial in study.records()
    ]


def searched(config: ExperimentConfig, lives: list[int], *, keeps_checkpoints: bool = True):
    """The findings of a search and its number of attempts.

    Attempt n is killed after ``lives[n]`` writes; one more attempt finishes the search.
    """
    worker = Worker(keeps_checkpoints=keeps_checkpoints)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trials.sqlite"
        for attempt, life in enumerate([*lives, None], start=1):
            try:
                with killed_after(life):
                    study = open_trials(file, config, key="s")
                    work_through(study, worker)
            except Killed:
                continue
            assert study.num_remaining == 0
            return findings(study), attempt
    raise AssertionError("the last life has no end")


@pytest.mark.parametrize(
    ("algorithm", "scheduler"),
    [("random", "asha"), ("optuna", "asha"), ("optuna", "median"), ("grid", "asha")],
)
def test_a_search_killed_at_each_of_its_steps_finds_what_an_uninterrupted_one_does(
    algorithm, scheduler
):
    config = search_with(algorithm, scheduler, num_trials=6)
    whole, _ = searched(config, [])
    # Ever longer lives: each ends at another step of a trial, and progress is certain.
    found, attempts = searched(config, list(range(1, 30)))
    assert found == whole
    assert attempts > 8
    assert len({given for _, given, *_ in whole}) == len(whole)


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from(COMBINATIONS),
    st.lists(st.integers(0, 40), max_size=4),
    st.booleans(),
    st.sampled_from(["val/accuracy", "val/loss"]),
)
def test_a_search_killed_anywhere_finds_what_an_uninterrupted_one_does(
    combination, lives, keeps_checkpoints, metric
):
    config = search_with(*combination, metric=metric)
    whole, _ = searched(config, [])
    found, _ = searched(config, lives, keeps_checkpoints=keeps_checkpoints)
    assert found == whole


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_a_trial_cut_off_while_drawn_is_drawn_on_alike(tmp_path, monkeypatch, algorithm):
    num_before = sampling.NUM_STARTUP_TRIALS
    config = search_with(algorithm, "none", num_trials=num_before + 1)
    start = tmp_path / "start.sqlite"
    study = open_trials(start, config, key="s")
    # Past the random trials, so that TPE draws jointly.
    for _ in range(num_before):
        end_trial(study, study.ask().number, [0.5])
    drawn, lives, real = [], [], sampling._suggest

    def suggest(*arguments):
        if lives == [len(drawn)]:
            raise Killed
        drawn.append(arguments[1])
        return real(*arguments)

    monkeypatch.setattr(sampling, "_suggest", suggest)
    given = []
    for num_before_death in (None, 0, 1, 3, 5):
        file = tmp_path / f"{num_before_death}.sqlite"
        with sqlite3.connect(start) as source, sqlite3.connect(file) as target:
            source.backup(target)
        drawn.clear()
        if num_before_death is not None:
            lives.append(num_before_death)
            with pytest.raises(Killed):
                open_trials(file, config, key="s").ask()
            lives.clear()
        given.append(open_trials(file, config, key="s").ask())
    assert all(spec == given[0] for spec in given)


def test_tpe_learns_from_the_trials_and_the_seed_decides(tmp_path):
    space = {"training.learning_rate": "loguniform(1e-4, 1)"}

    def late_values(name: str, **search: Any) -> list[float]:
        config = experiment(space=space, num_trials=24, scheduler="none", max_epochs=1, **search)
        study = open_trials(tmp_path / name, config, key="s")
        while (spec := study.ask()) is not None:
            rate = spec.sample.params["training.learning_rate"]
            study.report(spec.number, [record_of(-abs(math.log10(rate) + 2), 1)])
            study.mark_ended(spec.number, "finished")
            study.tell(spec.number)
        return [math.log10(t.params["training.learning_rate"]) for t in study.records()][12:]

    def miss(values: list[float]) -> float:
        return sum(abs(value + 2) for value in values) / len(values)

    learned, blind = late_values("a", algorithm="optuna"), late_values("b", algorithm="random")
    assert miss(learned) < 0.6 * miss(blind)
    assert late_values("c", algorithm="optuna") == learned


def test_unfinished_trials_come_first_and_ended_ones_never_again(tmp_path):
    study, reopen = fresh(tmp_path)
    specs = [study.ask() for _ in range(3)]
    assert study.num_remaining == 1
    end_trial(study, 1, [0.5])
    study.report(2, [record_of(0.4, 1)])
    study = reopen()
    assert study.num_remaining == 3
    again = [study.ask() for _ in range(3)]
    assert [spec.number for spec in again] == [0, 2, 3]
    assert again[:2] == [specs[0], specs[2]]
    assert study.ask() is None
    assert study.num_remaining == 0
    assert [trial.num_epochs for trial in study.records()] == [0, 1, 1, 0]
    assert len({trial.key for trial in study.records()}) == 4


def test_keys_of_two_searches_and_of_seeds_differ(tmp_path):
    config = experiment(repeats=2)
    study = open_trials(tmp_path / "a.sqlite", config, key="one")
    other = open_trials(tmp_path / "b.sqlite", config, key="other")
    for each in (study, other):
        end_trial(each, each.ask().number, [0.5])
    seeds = open_repeats(tmp_path / "a.sqlite", config, key="one", finalists=list(study.records()))
    seeds.ask()
    keys = [trial.key for each in (study, other, seeds) for trial in each.records()]
    assert keys == ["one-000", "other-000", "one-seed-000"]


def test_an_epoch_noted_but_not_reported_is_known_to_the_search_algorithm(tmp_path):
    study, reopen = fresh(tmp_path)
    study.ask()
    with killed_after(1), pytest.raises(Killed):
        study.report(0, [record_of(0.5, 1)])
    assert reopen().record(0).num_epochs == 1
    stored = optuna.load_study(
        study_name="trials", storage=f"sqlite:///{tmp_path / 'trials.sqlite'}"
    )
    assert stored.trials[0].intermediate_values == {1: 0.5}


def test_a_trial_marked_as_ended_but_not_told_is_asked_again_as_running(tmp_path):
    study, reopen = fresh(tmp_path)
    number = study.ask().number
    study.report(number, [record_of(0.5, 1)])
    ended = study.mark_ended(number, "pruned", reason="why not")
    assert (ended.state, ended.ended_at is None) == ("pruned", False)
    study = reopen()
    again = study.record(number)
    assert (again.state, again.reason, again.ended_at, again.num_epochs) == ("running", "", None, 1)
    assert again.started_at == ended.started_at
    assert study.ask().number == number


def test_a_trial_told_reads_back_as_it_was(tmp_path):
    study, reopen = fresh(tmp_path)
    for state, values in [("finished", [0.1, 0.3, 0.2]), ("cut", [0.4]), ("failed", [0.5])]:
        end_trial(study, study.ask().number, values, state)
    assert reopen().records() == study.records()
    assert [trial.state for trial in reopen().records()] == ["finished", "cut", "failed"]


def test_more_trials_may_be_asked_for_later(tmp_path):
    study, _ = fresh(tmp_path, num_trials=2)
    work_through(study, Worker())
    longer, _ = fresh(tmp_path, num_trials=3)
    assert longer.num_remaining == 1
    work_through(longer, Worker())
    assert findings(longer)[:2] == findings(study)
    shorter, _ = fresh(tmp_path, num_trials=1)
    assert shorter.num_remaining == 0
    assert shorter.ask() is None


def test_epochs_known_already_or_out_of_turn_are_passed_over(tmp_path):
    study, reopen = fresh(tmp_path)
    study.ask()
    study.report(0, [record_of(0.1, 1), record_of(0.2, 2)])
    study.report(0, [record_of(0.9, 1), record_of(0.9, 2)])
    study.report(0, [record_of(0.9, 4)])
    study.report(0, [])
    study.report(0, [record_of(0.1, 1), record_of(0.2, 2), record_of(0.3, 3)])
    for each in (study, reopen()):
        history = each.record(0).history
        assert [(record["epoch"], record["val/accuracy"]) for record in history] == [
            (1, 0.1),
            (2, 0.2),
            (3, 0.3),
        ]


@pytest.mark.parametrize(
    ("values", "metric", "value", "best_epoch"),
    [
        ([0.2, 0.5, 0.5, 0.1], "val/accuracy", 0.5, 2),
        ([0.2, 0.5, 0.5, 0.1], "val/loss", -0.5, 2),
        ([math.nan, 0.3, math.inf], "val/accuracy", 0.3, 2),
        ([0.3, math.nan, -math.inf], "val/loss", -0.3, 1),
    ],
)
def test_the_value_is_the_first_best_finite_one(tmp_path, values, metric, value, best_epoch):
    study, reopen = fresh(tmp_path, metric=metric, scheduler="none")
    ended = end_trial(study, study.ask().number, values)
    assert (ended.state, ended.value, ended.best_epoch) == ("finished", value, best_epoch)
    assert str(reopen().record(0)) == str(study.record(0))


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]])
@pytest.mark.parametrize("state", ["finished", "pruned", "cut"])
def test_a_trial_without_a_finite_value_has_failed(tmp_path, values, state):
    study, reopen = fresh(tmp_path)
    ended = end_trial(study, study.ask().number, values, state)
    assert (ended.state, ended.value) == ("failed", None)
    assert "val/accuracy was never finite" in ended.reason
    assert reopen().record(0).state == "failed"


def test_the_last_epoch_is_never_pruned(tmp_path):
    study, _ = fresh(tmp_path, grace_epochs=4, max_epochs=4, reduction_factor=2)
    for _ in range(2):
        study.ask()
    study.report(0, [record_of(0.9, epoch) for epoch in (1, 2, 3, 4)])
    assert not study.report(1, [record_of(0.1, epoch) for epoch in (1, 2, 3, 4)])


@pytest.mark.parametrize("metric", ["val/accuracy", "val/loss"])
def test_the_worse_trial_is_pruned_whichever_way_is_better(tmp_path, metric):
    study, _ = fresh(tmp_path, metric=metric)
    for _ in range(2):
        study.ask()
    better, worse = (0.9, 0.1) if metric == "val/accuracy" else (0.1, 0.9)
    assert not study.report(0, [{"epoch": 1, metric: better}])
    assert study.report(1, [{"epoch": 1, metric: worse}])


def test_the_experiment_of_every_trial_is_the_valid_one_of_its_values(tmp_path):
    study, _ = fresh(
        tmp_path, algorithm="optuna", num_trials=20, metric="val/loss", scheduler="none"
    )
    kinds = set()
    while (spec := study.ask()) is not None:
        params, config = spec.sample.params, spec.config
        assert config == experiment_from_mapping(config.model_dump(mode="json"))
        assert (config.training.epochs, config.training.metric) == (4, "val/loss")
        assert (config.training.seed, config.search) == (None, None)
        assert type(params["model.hidden_size"]) is int
        assert params["model.hidden_size"] in {16, 32, 48, 64}
        assert ("model.dropout" in params) == (params["model.num_layers"] == 2)
        assert ("training.clip.of_mean" in params) == (params["training.clip.policy"] == "auto")
        assert config.model.dropout == params.get("model.dropout", 0.0)
        assert config.model.dropout in {0.0, 0.1, 0.3}
        assert config.training.clip.of_mean == params.get("training.clip.of_mean", 1.0)
        kinds.add((params["model.num_layers"], params["training.clip.policy"]))
        end_trial(study, spec.number, [curve(params, 1)])
    assert len(kinds) == 4


def test_a_grid_is_worked_through_in_order_up_to_the_budget(tmp_path):
    study, _ = fresh(tmp_path, space=SPACE, algorithm="grid", num_trials=100)
    points = grid(experiment(space=SPACE, algorithm="grid", num_trials=100))
    assert study.num_trials == len(points) == 12
    assert [study.ask().sample.params for _ in points] == points
    assert study.ask() is None
    few, _ = fresh(tmp_path, space=SPACE, algorithm="grid", num_trials=5)
    assert few.num_trials == 5


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_no_settings_are_tried_twice_and_all_where_there_are_trials_for_it(algorithm, tmp_path):
    points = grid(experiment(space=SPACE))
    config = experiment(space=SPACE, algorithm=algorithm, num_trials=20)
    study = open_trials(tmp_path / "trials.sqlite", config, key="s")
    assert study.num_trials == len(points) == 12
    work_through(study, Worker())
    tried = [trial.params for trial in study.records()]
    assert sorted(tried, key=str) == sorted(points, key=str)
    assert tried != points
    # Optuna has the values that were trained, not those that it would have tried again.
    for trial, params in zip(optuna_trials(tmp_path), tried, strict=True):
        values = {**trial.params}
        if "model.dropout" in values:
            values["model.dropout"] = (0.1, 0.3)[values["model.dropout"]]
        values["model.hidden_size"] = 16 * (1 + values["model.hidden_size"])
        assert values == params


def optuna_trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return sampling.open_optuna_study(folder / "trials.sqlite", "trials", experiment()).trials


def test_what_was_sampled_twice_by_an_earlier_version_is_no_obstacle(tmp_path, monkeypatch):
    config = experiment(space=SPACE, algorithm="random", num_trials=12)
    monkeypatch.setattr(sampling, "other_points", lambda *_: [])
    study = open_trials(tmp_path / "trials.sqlite", config, key="s")
    for _ in range(9):
        end_trial(study, study.ask().number, [0.5])
    monkeypatch.undo()
    earlier = [str(trial.params) for trial in study.records()]
    assert len(set(earlier)) < 9
    work_through(open_trials(tmp_path / "trials.sqlite", config, key="s"), Worker())
    tried = [
        str(t.params) for t in open_trials(tmp_path / "trials.sqlite", config, key="s").records()
    ]
    assert tried[:9] == earlier
    assert len(set(tried)) == len(set(earlier)) + 3


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_a_small_space_is_searched_alike_whatever_kills_the_search(algorithm):
    config = experiment(
        space=SPACE, algorithm=algorithm, scheduler="none", num_trials=12, max_epochs=1
    )
    whole, _ = searched(config, [])
    found, attempts = searched(config, list(range(1, 20)))
    assert found == whole
    assert attempts > 8


def test_a_trial_whose_experiment_is_refused_fails_and_the_next_one_comes(tmp_path, monkeypatch):
    study, reopen = fresh(tmp_path)
    real = study_module.trial_experiment

    def refuse(*arguments, **keywords):
        monkeypatch.setattr(study_module, "trial_experiment", real)
        raise ConfigError("never like this")

    monkeypatch.setattr(study_module, "trial_experiment", refuse)
    with pytest.raises(ConfigError, match="never like this"):
        study.ask()
    assert study.ask().number == 1
    first = reopen().record(0)
    assert (first.state, first.reason) == ("failed", "never like this")


def test_time_adds_up_over_attempts_and_stops_with_the_clock(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(study_module.time, "monotonic", lambda: now[0])
    study, reopen = fresh(tmp_path)
    study.ask()
    now[0] += 5
    study.report(0, [record_of(0.5, 1)])
    now[0] += 1000
    study = reopen()
    now[0] += 2
    assert study.elapsed_s == 7
    study.stop_clock()
    now[0] += 50
    assert study.elapsed_s == 7
    assert reopen().elapsed_s == 7
