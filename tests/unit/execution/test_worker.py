"""Events of a worker, with Ray Train and the queue replaced."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import ray.train
from ray.exceptions import RayActorError

from rnnlane.errors import ResourceError
from rnnlane.execution import worker
from rnnlane.execution.worker import RayEvents, for_workers
from rnnlane.records.progress import Progress
from rnnlane.records.system_use import SystemUse
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
