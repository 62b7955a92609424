"""A search from start to end, with Ray and MLflow replaced and trials that do not train."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnnlane.config import load_experiment
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.events import RunEvents
from rnnlane.records.search import SearchRecord
from rnnlane.search import search
from rnnlane.search.dispatcher import TrialDispatcher
from rnnlane.search.search import data_key, execute_search, trial_resources
from support.study import experiment, record_of
from support.tracked import IDENTITY, RememberedTracker, tiny_prepared

SPACE = {"model.num_layers": "choice(1, 2)", "training.learning_rate": "loguniform(1e-3, 1e-1)"}


class SearchTracker(RememberedTracker):
    """Also remembers how each trial ended, and the tags that its run was opened with."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = self
        self.ended: dict[str, str] = {}
        self.opened: dict[str, dict[str, str]] = {}
        self.names: list[str] = []

    def open_trial(
        self, key: str, *, name: str, params: Any, tags: dict[str, str], datasets: Any
    ) -> None:
        assert [one.context for one in datasets] == ["train", "val"]
        assert name.startswith(("#", "seed ")) or tags["rnnlane.kind"] == "ablation"
        self.names.append(name)
        assert params["training.epochs"] == 4
        self.opened[key] = tags

    def log_trial(self, key: str, history: Any, best_epoch: int | None = None) -> None: ...

    def tag_trial(self, key: str, tags: Any) -> None:
        assert ("mlflow.runColor" in tags) == (tags["rnnlane.trial_state"] == "pruned")

    def close_trial(self, key: str, status: str, *, reason: str | None = None) -> None:
        self.ended[key] = status if reason is None else f"{status}: {reason}"

    def trial_ids(self) -> dict[str, str]:
        return {key: f"id of {key}" for key in self.ended}


class Notes(RunEvents):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.snapshots: list[SearchRecord] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def trial(self, search: SearchRecord) -> None:
        self.snapshots.append(search)


def value_of(spec: Any) -> float:
    """Better with more layers, a little more so with some seeds."""
    layers, seed = spec.sample.params["model.num_layers"], spec.sample.seed or 0
    return 0.5 + (0.1 + 0.001 * seed) * layers


def run_trials_here(study: Any, *, resources: Any, make_task: Any, deadline: float, **options: Any):
    """Like ``ray_tune.run_trials``, but each trial reports made-up values at once."""
    dispatcher = TrialDispatcher(
        study,
        make_task=make_task,
        events=options["events"],
        max_running=1,
        max_requeues=resources.max_retries,
        deadline=deadline,
    )
    for number in range(100):
        task = dispatcher.ask(str(number))
        if task is None:
            return
        assert task.data in options["datasets"]
        spec = dispatcher._running[str(number)]
        history = [record_of(value_of(spec), epoch) for epoch in (1, 2, 3, 4)]
        dispatcher.report(str(number), history)
        dispatcher.end(str(number), "finished")


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    tracker = SearchTracker()
    monkeypatch.setattr(search, "start_search", tracker.start)
    monkeypatch.setattr(search, "run_trials", run_trials_here)
    monkeypatch.setattr(search, "check_storage", lambda _config: None)
    monkeypatch.setattr(search, "_shared_data", lambda _config, prepared, _events: dict(prepared))
    monkeypatch.setattr(
        search,
        "cluster",
        SimpleNamespace(num_fitting=lambda **_: 3, use_gpu=lambda _runtime: False),
    )
    return tracker


def execute(events: Notes, **settings: Any) -> Any:
    config = experiment(**{"space": SPACE, **settings})
    record = RunRecord.create("x", **IDENTITY)
    with record.locked() as current:
        return execute_search(
            config, {data_key(config): tiny_prepared()}, record=current, events=events
        )


def test_a_search_runs_all_trials_and_names_the_best(tracker):
    events = Notes()
    result = execute(events, num_trials=6, scheduler="none")
    assert (result.num_trials, result.epochs_trained, result.is_tracked) == (6, 24, True)
    assert result.best["params"]["model.num_layers"] == 2
    assert result.best["run_id"].startswith("id of ")
    assert list(tracker.ended.values()) == ["FINISHED"] * 6
    assert {"experiment.yaml", "best.yaml", "report.html", "trials.csv"} <= tracker.files
    assert events.snapshots[-1].num_ended == 6


def test_the_progression_has_the_best_value_after_each_trial(tracker):
    execute(Notes(), num_trials=6, scheduler="none")
    best = [entry["search/best_accuracy"] for entry in tracker.history]
    assert best == sorted(best)
    assert [entry["search/epochs_trained"] for entry in tracker.history] == [4, 8, 12, 16, 20, 24]


def test_a_search_has_the_metrics_of_its_best_trial(tracker):
    result = execute(Notes(), num_trials=6, scheduler="none")
    assert tracker.summary["best/val/accuracy"] == result.best["value"]
    assert tracker.tags["rnnlane.best_trial"].startswith(f"#{result.best['number']} layers=2 lr=")
    assert tracker.summary["best_epoch"] == result.best["best_epoch"]


def test_finalists_are_repeated_with_other_seeds(tracker):
    events = Notes()
    result = execute(events, num_trials=4, scheduler="none", repeats=3, finalists=1)
    assert "training the best 1 again with 2 other seeds each" in events.notes
    assert len(result.best["seed_values"]) == 3
    assert sum("-seed-" in key for key in tracker.opened) == 2
    assert result.num_trials == 4


def test_a_search_without_time_for_its_seeds_says_that_they_are_missing(tracker, monkeypatch):
    result = execute(Notes(), num_trials=2, scheduler="none", repeats=2, finalists=1)
    assert result.has_all_seeds
    real = search.run_trials
    monkeypatch.setattr(
        search, "run_trials", lambda study, **o: real(study, **o) if study._prune else None
    )
    result = execute(Notes(), num_trials=2, scheduler="none", repeats=2, finalists=1)
    assert not result.has_all_seeds


def test_the_winner_is_compared_with_one_setting_changed(tracker):
    events = Notes()
    keys = {
        **{"model.num_layers": [1, 2], "model.dropout": [0.5], "model.hidden_size": [8]},
        "training.clip.of_mean": [0.25],
    }
    ablation = {"keys": keys, "seeds": 2}
    result = execute(events, num_trials=4, scheduler="none", ablation=ablation)
    assert result.best["params"]["model.num_layers"] == 2
    assert (result.num_trials, result.epochs_trained) == (4, 48)
    one, dropout, size = result.ablation["settings"]
    assert (one["label"], one["verdict"]) == ("num_layers=1", "worse")
    assert one["difference"] == pytest.approx(-0.1015)
    assert dropout["verdict"] == size["verdict"] == "no difference seen"
    assert "of_mean needs policy auto" in result.ablation["skipped"]["of_mean=0.25"]
    assert any("the ablation leaves out of_mean=0.25" in note for note in events.notes)
    assert result.ablation["recommended"] == "winner"
    assert result.ablation["asked"] == {"keys": keys, "seeds": 2}
    assert tracker.names[4:6] == ["winner seed 1", "num_layers=1 seed 1"]
    kinds = [tags["rnnlane.kind"] for tags in tracker.opened.values()]
    assert kinds == ["trial"] * 4 + ["ablation"] * 8
    assert [trial.number for trial in events.snapshots[-1].trials] == [0, 1, 2, 3]
    assert events.snapshots[-1].afterwards == "8/8 runs of the ablation"
    assert tracker.tags["rnnlane.recommended"] == "winner"


def test_the_recommended_setting_becomes_the_experiment(tracker, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "value_of", lambda _spec: 0.8)
    ablation = {"keys": {"model.num_layers": [1, 3]}, "seeds": 2}
    space = {"model.num_layers": "choice(2)"}
    result = execute(Notes(), space=space, num_trials=1, scheduler="none", ablation=ablation)
    text = Path(result.best_config).read_text()
    assert "with one setting changed" in text
    assert "# Recommended: the winner with num_layers=1 instead of 2, the simplest" in text
    assert load_experiment(result.best_config).model.num_layers == 1


def test_a_search_without_a_winner_says_so(tracker, monkeypatch):
    monkeypatch.setattr(search, "run_trials", lambda *_, **__: None)
    events = Notes()
    result = execute(events, num_trials=2)
    assert (result.best, result.best_config) == (None, None)
    assert "none of the 0 trials succeeded; there is no winner" in events.notes


@pytest.mark.parametrize(("max_concurrent", "expected"), [(None, 3), (2, 2), (8, 3)])
def test_as_many_trials_run_at_once_as_fit_and_may(tracker, max_concurrent, expected):
    config = experiment(space=SPACE, max_concurrent=max_concurrent)
    assert trial_resources(config).max_concurrent == expected


def test_a_search_that_takes_long_to_tell_of_is_told_of_rarely_and_whole_at_its_end(
    tracker, monkeypatch
):
    now = itertools.count(0.0, 0.001)  # so telling of it takes a millisecond or two
    monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=lambda: next(now)))
    often, rarely = Notes(), Notes()
    execute(often, num_trials=20, scheduler="none")
    monkeypatch.setattr(search, "SHORT_REPORT_S", 0.0)
    execute(rarely, num_trials=20, scheduler="none")
    assert len(rarely.snapshots) < len(often.snapshots) / 2
    assert [entry["epoch"] for entry in tracker.history] == list(range(1, 21)), "the whole curve"
    for events in (often, rarely):
        assert events.snapshots[-1].num_ended == 20
        assert events.snapshots[-1].afterwards == ""
