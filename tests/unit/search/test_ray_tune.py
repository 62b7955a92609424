import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from rnnlane.errors import TrainingError
from rnnlane.search.dispatcher import TrialEvents
from rnnlane.search.ray_tune import (
    TrialResources,
    _failure_reason,
    _Scheduler,
    _Searcher,
    run_trials,
)
from rnnlane.search.trial_worker import TrialTask


class FakeDispatcher:
    """Gives one task; records its calls."""

    def __init__(self, *, stops: bool = False):
        self.is_full = False
        self.tasks = [TrialTask("{}", "data", "folder", 0.0)]
        self.stops = stops
        self.calls: list[tuple] = []

    def ask(self, trial_id: str) -> TrialTask | None:
        return self.tasks.pop() if self.tasks else None

    def report(self, trial_id: str, history: list) -> bool:
        self.calls.append(("report", trial_id, history))
        return self.stops

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


def tune_trial(status: str = Trial.RUNNING, error_file: Path | None = None) -> SimpleNamespace:
    return SimpleNamespace(trial_id="a", status=status, pickled_error_file=error_file)


def test_the_searcher_gives_a_config_then_waits_and_ends():
    dispatcher = FakeDispatcher()
    searcher = _Searcher(dispatcher)
    dispatcher.is_full = True
    assert searcher.suggest("a") is None
    dispatcher.is_full = False
    assert TrialTask(**searcher.suggest("a")).data == "data"
    assert searcher.suggest("b") == Searcher.FINISHED


def test_only_an_error_that_is_final_fails_the_trial():
    dispatcher = FakeDispatcher()
    searcher = _Searcher(dispatcher)
    searcher.on_trial_complete("a", result={})
    assert dispatcher.calls == []
    searcher.on_trial_complete("a", error=True)
    assert dispatcher.calls == [("fail", "a")]


@pytest.mark.parametrize(("stops", "decision"), [(True, "STOP"), (False, "CONTINUE")])
def test_the_scheduler_stops_a_trial_when_the_dispatcher_says_so(stops, decision):
    dispatcher = FakeDispatcher(stops=stops)
    scheduler = _Scheduler(dispatcher)
    result = {"history": [1], "system_uses": ["b", "c"]}
    assert scheduler.on_trial_result(None, tune_trial(), result) == decision
    assert dispatcher.calls == [("pass_on", "b"), ("pass_on", "c"), ("report", "a", [1])]


def test_a_failure_that_would_come_again_ends_the_trial():
    dispatcher = FakeDispatcher()
    result = {"failure": "the loss is NaN (lower the rate)"}
    assert _Scheduler(dispatcher).on_trial_result(None, tune_trial(), result) == "STOP"
    assert dispatcher.calls == [("note_error", "a", result["failure"]), ("fail", "a")]


def test_results_that_are_no_report_of_epochs_decide_nothing():
    dispatcher = FakeDispatcher(stops=True)
    for result in ({"done": True, "history": [1]}, {"trial_id": "a"}):
        assert _Scheduler(dispatcher).on_trial_result(None, tune_trial(), result) == "CONTINUE"
    assert dispatcher.calls == []


@pytest.mark.parametrize(("status", "is_requeued"), [(Trial.PENDING, True), (Trial.ERROR, False)])
def test_a_trial_that_never_started_is_requeued(status, is_requeued):
    dispatcher = FakeDispatcher()
    _Scheduler(dispatcher).on_trial_error(None, tune_trial(status))
    assert dispatcher.calls[0] == ("note_error", "a", "it could not be started")
    assert (("requeue", "a") in dispatcher.calls) == is_requeued


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingError("the loss is NaN", remedy="lower the rate"), "the loss is NaN"),
        (ValueError("first\nsecond"), "first"),
        (KeyError(), "KeyError"),
        (RayActorError(), "its process was lost"),
        (RayTaskError("train", "traceback", RayActorError()), "its process was lost"),
        (ValueError("x" * 1000), "x" * 500),
    ],
)
def test_the_reason_of_a_failure_is_the_first_line_of_its_cause(tmp_path, error, reason):
    file = tmp_path / "error.pkl"
    file.write_bytes(cloudpickle.dumps(error))
    assert _failure_reason(tune_trial(error_file=file)).startswith(reason)
    assert len(_failure_reason(tune_trial(error_file=file))) <= 500


@pytest.mark.parametrize(("num_remaining", "left_s"), [(0, 100.0), (3, -1.0)])
def test_nothing_is_started_without_trials_or_time(tmp_path, num_remaining, left_s):
    run_trials(
        SimpleNamespace(num_remaining=num_remaining),
        resources=TrialResources(1, 1.0, 0.0, 1, 0),
        datasets={},
        make_task=None,
        deadline=time.monotonic() + left_s,
        scratch=tmp_path,
        events=TrialEvents(),
    )
    assert list(tmp_path.iterdir()) == []
