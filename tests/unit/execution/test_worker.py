"""Events of a worker, with Ray Train and the queue replaced."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import ray.train
import torch
from ray.exceptions import RayActorError

from rnnlane.errors import ResourceError
from rnnlane.execution import worker
from rnnlane.execution.worker import RayEvents, for_workers
from rnnlane.records.progress import Progress
from rnnlane.records.system_use import SystemUse
from rnnlane.training.group import WorkerGroup
from support.tiny import tiny_experiment


class Inbox:
    def __init__(self, error=None):
        self.error = error
        self.messages = []

    def put_nowait(self, message):
        if self.error is not None:
            raise self.error
        self.messages.append(message)


def write(folder):
    (folder / "state.json").write_text("{}")


@pytest.fixture
def reported(monkeypatch):
    """What is reported to Ray Train: the names of a checkpoint's files, or None."""
    calls = []

    def report(metrics, checkpoint=None):
        names = None if checkpoint is None else [f.name for f in Path(checkpoint.path).iterdir()]
        calls.append(names)

    monkeypatch.setattr(ray.train, "report", report)
    return calls


def test_the_first_worker_sends_the_name_and_argument_of_each_event():
    inbox = Inbox()
    events = RayEvents(inbox, is_first=True, storage="/data")
    progress, history = Progress("epoch 1/2", 1, 4), [{"train/loss": 0.5}]
    events.progress(progress)
    events.epoch(history)
    events.saved(history)
    events.note("a sentence")
    history.append({"train/loss": 0.4})
    assert inbox.messages == [
        ("progress", progress),
        ("epoch", [{"train/loss": 0.5}]),
        ("saved", [{"train/loss": 0.5}]),
        ("note", "a sentence"),
    ]


def test_other_workers_send_nothing():
    inbox = Inbox()
    RayEvents(inbox, is_first=False, storage="/data").note("a sentence")
    assert inbox.messages == []


def test_every_worker_sends_samples_of_its_own():
    inbox, use = Inbox(), SystemUse("b", {"cpu": 1.0})
    RayEvents(inbox, is_first=False, storage="/data").system_use(use)
    assert inbox.messages == [("system_use", use)]


def test_workers_learn_whether_to_sample_and_nothing_of_the_store():
    config = tiny_experiment("tracking.uri=http://me:secret@host", "tracking.system_metrics=false")
    sent = for_workers(config).model_dump(mode="json")
    assert sent["tracking"]["system_metrics"] is False
    assert "secret" not in str(sent)


def test_a_driver_that_is_gone_does_not_end_training():
    RayEvents(Inbox(RayActorError()), is_first=True, storage="/data").note("a sentence")


def test_every_worker_reports_a_checkpoint_and_the_first_has_the_files(reported):
    RayEvents(Inbox(), is_first=True, storage="/data").checkpoint(write)
    RayEvents(Inbox(), is_first=False, storage="/data").checkpoint(write)
    assert reported == [["state.json"], None]


@pytest.mark.parametrize("is_uploading", [False, True])
def test_a_full_disk_is_told_by_the_worker_which_knows_where(monkeypatch, is_uploading):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ray.train, "report", fail)
    events = RayEvents(Inbox(), is_first=True, storage="s3://bucket/x")
    with pytest.raises(ResourceError, match="no space left on the") as told:
        events.checkpoint(write if is_uploading else fail)
    assert (told.value.where == "s3://bucket/x") == is_uploading
    assert ("on the disk /" in told.value.message) != is_uploading


def test_a_storage_that_is_away_may_come_back(monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "S3 is away")

    monkeypatch.setattr(ray.train, "report", fail)
    with pytest.raises(OSError, match="S3 is away"):
        RayEvents(Inbox(), is_first=True, storage="s3://bucket/x").checkpoint(write)


def test_training_starts_at_the_given_files(monkeypatch, tmp_path):
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: None)
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    assert worker._start_folder(None, tmp_path) is None
    folder = worker._start_folder({"state.json": b"{}"}, tmp_path)
    assert (folder / "state.json").read_bytes() == b"{}"


def test_an_attempts_own_checkpoint_comes_before_the_given_files(monkeypatch, tmp_path):
    newest = SimpleNamespace(to_directory=lambda path: path)
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: newest)
    assert worker._start_folder({"state.json": b"{}"}, tmp_path) == tmp_path / "newest"


def notes(*overrides, workers, device="cuda", is_new=True):
    group = WorkerGroup(rank=0, world_size=workers, device=torch.device(device))
    return list(worker._notes(tiny_experiment(*overrides), group, is_new=is_new))


@pytest.mark.parametrize(
    ("rows", "workers", "each", "fewer"),
    [(32, 8, "4", 1), (32, 2, "16", 1), (100, 8, "12.5", 2), (256, 8, "32", 4), (448, 8, "56", 7)],
)
def test_gpus_that_share_too_few_rows_are_told_once_with_the_figures(rows, workers, each, fewer):
    setting = f"training.global_batch_size={rows}"
    assert notes(setting, workers=workers) == [
        f"{workers} GPUs share {rows} rows a step, {each} each: a step takes about as long as on "
        f"{fewer}; raise training.global_batch_size to {64 * workers} or more, or use fewer workers"
    ]
    assert notes(setting, workers=workers, is_new=False) == []
    assert notes(setting, workers=workers, device="cpu") == []


@pytest.mark.parametrize(("rows", "workers"), [(32, 1), (512, 8), (449, 8), (100, 2)])
def test_gpus_with_rows_enough_are_told_nothing(rows, workers):
    assert notes(f"training.global_batch_size={rows}", workers=workers) == []


def test_an_elastic_run_tells_its_workers_in_each_attempt():
    setting = ("runtime.num_workers=[1, 8]", "training.global_batch_size=32")
    assert notes(*setting, workers=3, device="cpu", is_new=False) == ["training with num_workers 3"]
    assert len(notes(*setting, workers=3, is_new=False)) == 2
