import weakref
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.tune
import torch

from rnnlane.config import experiment_from_mapping
from rnnlane.errors import JobError, TrainingError
from rnnlane.execution import on_ray
from rnnlane.records.system_use import SystemUse
from rnnlane.search import trial_worker
from rnnlane.search.trial_worker import TrialTask, run_trial

USE = SystemUse("b", {}, {"gpu_0_power_usage_watts": 100.0})
HISTORY = [{"epoch": 1.0, "val/loss": 0.5}]


@pytest.fixture
def reported(monkeypatch):
    """The histories, samples and failures that Ray Tune was given."""
    reported: list[Any] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: reported.extend(result.values()))
    return reported


def task(folder: Any, *, num_workers: int) -> dict[str, Any]:
    values = {"name": "x", "data": {"source": {"kind": "generated"}}}
    config = experiment_from_mapping({**values, "runtime": {"num_workers": num_workers}})
    return asdict(TrialTask(config.model_dump_json(), "b", str(folder), 0.25))


def test_a_trial_with_one_worker_trains_on_its_data_here(tmp_path, monkeypatch, reported):
    def train(config: Any, data: Any, *, store: Any, events: Any, gpu_share: float) -> None:
        assert (config.name, data, gpu_share) == ("x", "data b", 0.25)
        events.system_use(USE)
        events.epoch(HISTORY)
        events.epoch(HISTORY)

    monkeypatch.setattr(trial_worker, "train_in_process", train)
    monkeypatch.setattr(ray, "get", lambda reference: f"data {reference}")
    run_trial(task(tmp_path, num_workers=1), datasets={"a": "a", "b": "b"})
    assert reported == [HISTORY, [USE], HISTORY, []]


def test_a_trial_with_workers_of_its_own_reports_what_came_late(tmp_path, monkeypatch, reported):
    def train(config: Any, data: Any, *, gpus_per_worker: float, **_: Any) -> SimpleNamespace:
        assert (config.runtime.num_workers, data, gpus_per_worker) == (2, "b", 0.25)
        return SimpleNamespace(history=HISTORY)

    monkeypatch.setattr(on_ray, "train_on_ray", train)
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "7")
    run_trial(task(tmp_path, num_workers=2), datasets={"a": "a", "b": "b"})
    assert reported == [HISTORY, []]


def test_only_an_error_that_would_not_come_again_is_raised(tmp_path, monkeypatch, reported):
    errors = [TrainingError("the loss is NaN", remedy="lower the rate"), JobError("a worker died")]

    def train(*_: Any, **__: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(trial_worker, "train_in_process", train)
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    run_trial(task(tmp_path, num_workers=1), datasets={"b": "b"})
    assert reported == ["the loss is NaN (lower the rate)"]
    with pytest.raises(JobError, match="a worker died"):
        run_trial(task(tmp_path, num_workers=1), datasets={"b": "b"})


def test_the_samples_of_a_long_epoch_are_its_newest(reported):
    reporter = trial_worker._Reporter()
    uses = [SystemUse("b", {"cpu": float(number)}) for number in range(100)]
    for use in uses:
        reporter.system_use(use)
    reporter.epoch(HISTORY)
    assert reported == [HISTORY, uses[-60:]]


def test_the_tensors_of_a_trial_that_failed_are_free_when_that_is_reported(tmp_path, monkeypatch):
    tensors: list[Any] = []
    alive: list[bool] = []

    def train(*_: Any, **__: Any) -> None:
        tensor = torch.zeros(3)
        tensors.append(weakref.ref(tensor))
        raise TrainingError("out of memory") from RuntimeError("CUDA")

    monkeypatch.setattr(trial_worker, "train_in_process", train)
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    monkeypatch.setattr(ray.tune, "report", lambda _: alive.append(tensors[0]() is not None))
    run_trial(task(tmp_path, num_workers=1), datasets={"b": "b"})
    assert alive == [False]
