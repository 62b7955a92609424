from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rnnlane.config.tracking import TrackingConfig
from rnnlane.tracking import run as mlflow_tracker
from rnnlane.tracking import sender as sender_module
from rnnlane.tracking.client import open_client
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.delivery import MlflowDestination, child_runs, trial_address
from rnnlane.tracking.outbox import Outbox
from rnnlane.tracking.run import RunSpec, send_outbox, terminate_run
from rnnlane.tracking.search import SearchTracker, start_search
from rnnlane.tracking.sender import send_all
from rnnlane.tracking.uris import store_identity

DATA = DatasetInfo("reviews-val", "0123", "val", "/data/reviews.csv", {"num_rows": 3})
SPEC = RunSpec(name="search", predictor="module:Class", class_names=("neg", "pos"))


class Killed(BaseException):
    pass


class Unsteady:
    """A real client that is away while ``away`` is set, or treats each call as its script says."""

    def __init__(self, uri: str) -> None:
        self.real = open_client(uri)
        self.away = False
        self.script: list[str] = []
        self.calls: set[str] = set()
        self.threads: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **options: self._call(name, *args, **options)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        self.calls.add(name)
        self.threads.add(threading.current_thread().name)
        fate = self.script.pop(0) if self.script else "ok"
        if self.away or fate == "lost":
            raise ConnectionError("refused")
        answer = getattr(self.real, name)(*args, **options)
        if fate == "unanswered":
            raise ConnectionError("timeout")
        if fate == "killed":
            raise Killed
        return answer


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def client(uri: str, monkeypatch: pytest.MonkeyPatch) -> Unsteady:
    client = Unsteady(uri)
    monkeypatch.setattr(mlflow_tracker, "open_client", lambda uri: client)
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(sender_module, "LONGEST_PAUSE_S", 0.01)
    return client


@pytest.fixture
def start(uri: str, client: Unsteady, tmp_path: Path) -> Iterator[Callable[..., SearchTracker]]:
    started: list[SearchTracker] = []

    def start(resume: str | None = None, **changes: Any) -> SearchTracker:
        options = {"system_metrics": False, "flush_timeout_s": 10.0, **changes}
        search = start_search(
            TrackingConfig(uri=uri, **options),
            SPEC,
            outbox=tmp_path / "outbox",
            resume_run_id=resume,
        )
        started.append(search)
        return search

    yield start
    for search in started:
        search._sender.stop()


def crash(search: SearchTracker) -> None:
    """Releases a search as a killed process does: what was not sent stays in the outbox."""
    search._sender.stop()
    search._sender.outbox.close()


def history(num_epochs: int) -> list[dict[str, float]]:
    return [{"epoch": e, "train/loss": 1 / e, "val/loss": 2 / e} for e in range(1, num_epochs + 1)]


def trials(client: Unsteady, search: SearchTracker) -> dict[str, Any]:
    """The runs below the search by name; each has one."""
    parent = client.real.get_run(search.parent.run_id)
    runs = child_runs(client.real, parent)
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs)
    return by_name


def steps(client: Unsteady, run: Any, key: str = "val/loss") -> list[int]:
    return sorted(metric.step for metric in client.real.get_metric_history(run.info.run_id, key))


def open_trial(search: SearchTracker, key: str, **params: Any) -> None:
    search.open_trial(
        key, name=f"trial {key}", params=params, tags={"kind": "sample"}, datasets=[DATA]
    )


def test_each_trial_is_a_child_run_with_everything_that_was_logged(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start(tags={"team": "reviews"})
    for key, status in (("0", "FINISHED"), ('it\'s "1"/b', "FAILED")):
        open_trial(search, key, cell="lstm", clip=None)
        open_trial(search, key, cell="lstm", clip=None)
        for num_epochs in (1, 2, 2):
            search.log_trial(key, history(num_epochs))
        search.close_trial(key, status, reason="why at http://me:hunter2@host")
        search.tag_trial(key, {"pruned": "true"})
    assert search.finish("FINISHED")

    found = trials(client, search)
    assert search.trial_ids() == {
        "0": found["trial 0"].info.run_id,
        'it\'s "1"/b': found['trial it\'s "1"/b'].info.run_id,
    }
    assert [found[name].info.status for name in sorted(found)] == ["FINISHED", "FAILED"]
    parent = client.real.get_run(search.parent.run_id)
    assert parent.info.status == "FINISHED"
    for run in found.values():
        expected = {
            "mlflow.parentRunId": search.parent.run_id,
            "mlflow.user": parent.data.tags["mlflow.user"],
            "kind": "sample",
            "team": "reviews",
            "pruned": "true",
            "rnnlane.reason": "why at http://***@host",
        }
        assert run.data.tags.items() >= expected.items()
        assert run.data.params == {"cell": "lstm", "clip": "None"}
        assert steps(client, run) == steps(client, run, "train/loss") == [1, 2]
        (used,) = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("reviews-val", "0123")


def test_the_thread_of_the_trials_makes_no_call_to_the_store(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    client.threads.clear()
    open_trial(search, "0", a=1)
    search.log_trial("0", history(2))
    search.close_trial("0", "FINISHED")
    search.trial_ids()
    assert search.finish("FINISHED")
    assert client.threads == {"tracking-sender"}


def test_what_a_new_trial_has_is_known_without_asking(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    client.calls.clear()
    for key in ("0", "1"):
        open_trial(search, key)
        search.log_trial(key, history(2))
    assert search._sender.drain(10.0)
    # The first two are asked once a search.
    assert client.calls == {"get_run", "search_runs", "create_run", "log_inputs", "log_batch"}


def test_no_password_reaches_the_name_the_params_or_the_tags(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    secret = "http://me:hunter2@host"
    search.open_trial("0", name=secret, params={"where": secret}, tags={"where": secret})
    search.tag_trial("0", {"also": secret})
    assert search.finish("FINISHED")
    assert "hunter2" not in repr(trials(client, search))


def test_a_store_that_was_away_gets_everything_with_the_times_of_when_it_happened(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    client.away = True
    before_ms = time.time_ns() // 1_000_000
    open_trial(search, "0", a=1)
    search.log_trial("0", history(1))
    search.close_trial("0", "FINISHED")
    after_ms = time.time_ns() // 1_000_000
    assert search.trial_ids() == {}
    time.sleep(0.05)
    client.away = False
    assert search.finish("FINISHED")
    run = trials(client, search)["trial 0"]
    (point,) = client.real.get_metric_history(run.info.run_id, "val/loss")
    assert before_ms <= run.info.start_time <= point.timestamp <= run.info.end_time
    # Times rise by a millisecond a record at least: a quick writer is ahead of the clock.
    assert run.info.end_time <= after_ms + 4


def test_a_create_without_an_answer_is_not_made_twice(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    open_trial(search, "0")
    assert search._sender.drain(10.0)
    client.script = ["unanswered"]
    open_trial(search, "1", a=1)
    search.close_trial("1", "FINISHED")
    assert search.finish("FINISHED")
    found = trials(client, search)
    assert sorted(found) == ["trial 0", "trial 1"]
    assert found["trial 1"].data.params == {"a": "1"}


def test_a_process_killed_before_it_marked_a_create_leaves_one_run(
    start: Callable[..., SearchTracker], client: Unsteady, uri: str, tmp_path: Path
) -> None:
    search = start()
    client.away = True
    open_trial(search, "0", a=1)
    search._sender.stop()
    client.away = False
    (record,) = search._sender.outbox.pending()
    search._destination.deliver(record, again=False)
    crash(search)
    assert send_outbox(uri, tmp_path / "outbox") == 1
    assert list(trials(client, search)) == ["trial 0"]


def test_a_resumed_search_goes_on_with_the_runs_of_its_trials(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    first = start()
    for key in ("done", "cut"):
        open_trial(first, key, a=1)
        first.log_trial(key, history(3))
    first.close_trial("done", "FINISHED")
    assert first._sender.drain(10.0)
    crash(first)
    before = trials(client, first)

    second = start(resume=first.parent.run_id)
    known = {name.removeprefix("trial "): run.info.run_id for name, run in before.items()}
    assert second.trial_ids() == known
    # It continues after epoch 2; the third is logged already.
    for key in ("cut", "new"):
        open_trial(second, key, a=2)
        for num_epochs in (2, 3, 4):
            second.log_trial(key, history(num_epochs))
        second.close_trial(key, "FINISHED")
    second.close_trial("done", "FAILED", reason="it has ended before")
    second.tag_trial("done", {"winner": "true"})
    assert second.finish("FINISHED")

    found = trials(client, second)
    assert sorted(found) == ["trial cut", "trial done", "trial new"]
    for name in ("trial cut", "trial new"):
        for key in ("val/loss", "train/loss"):
            assert steps(client, found[name], key) == [1, 2, 3, 4]
    assert found["trial cut"].data.params == {"a": "1"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert found["trial done"].info.end_time == before["trial done"].info.end_time
    assert found["trial done"].data.tags["winner"] == "true"


def test_a_reopened_trial_is_running_and_has_no_reason_of_failure(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    search = start()
    open_trial(search, "0")
    search.close_trial("0", "FAILED", reason="out of memory")
    assert search._sender.drain(10.0)
    assert trials(client, search)["trial 0"].info.status == "FAILED"
    open_trial(search, "0")
    assert search._sender.drain(10.0)
    run = trials(client, search)["trial 0"]
    assert run.info.status == "RUNNING"
    assert "rnnlane.reason" not in run.data.tags
    assert search.finish("FINISHED")


def test_an_end_that_a_dead_process_recorded_is_kept(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    first = start()
    open_trial(first, "0")
    assert first._sender.drain(10.0)
    client.away = True
    first.close_trial("0", "FINISHED")
    open_trial(first, "1")
    first.close_trial("1", "FINISHED")
    crash(first)
    client.away = False
    second = start(resume=first.parent.run_id)
    assert second.finish("KILLED")
    states = {name: run.info.status for name, run in trials(client, second).items()}
    assert states == {"trial 0": "FINISHED", "trial 1": "FINISHED"}


def test_an_outbox_left_behind_is_sent_to_the_existing_runs(
    start: Callable[..., SearchTracker], client: Unsteady, uri: str, tmp_path: Path
) -> None:
    search = start()
    open_trial(search, "0")
    search.close_trial("0", "FAILED")
    assert search._sender.drain(10.0)
    client.away = True
    search.parent.set_tags({"a": "b"})
    open_trial(search, "0")
    crash(search)
    client.away = False
    assert send_outbox(uri, tmp_path / "outbox") == 2
    assert trials(client, search)["trial 0"].info.status == "RUNNING"


def test_no_trial_stays_running_under_a_search_that_ended(
    start: Callable[..., SearchTracker], client: Unsteady
) -> None:
    first = start()
    open_trial(first, "0")
    assert first._sender.drain(10.0)
    crash(first)
    second = start(resume=first.parent.run_id)
    open_trial(second, "1")
    assert second.finish("KILLED", reason="interrupted")
    for run in trials(client, second).values():
        assert (run.info.status, run.data.tags["rnnlane.reason"]) == ("KILLED", "interrupted")


def test_the_trials_of_a_dead_driver_end_with_it_unless_they_had_ended(
    start: Callable[..., SearchTracker], client: Unsteady, uri: str
) -> None:
    search = start()
    for key in ("running", "done"):
        open_trial(search, key)
    search.close_trial("done", "FINISHED")
    assert search._sender.drain(10.0)
    crash(search)
    # As of a seed: it has a record, and thereby an end of its own.
    tags = {"mlflow.parentRunId": search.run_id}
    experiment = client.real.get_run(search.run_id).info.experiment_id
    own = client.real.create_run(experiment, tags=tags).info.run_id
    terminate_run(uri, search.parent.run_id, "KILLED", reason="its driver died")
    assert client.real.get_run(own).info.status == "RUNNING"
    found = trials(client, search)
    states = {name: run.info.status for name, run in found.items() if run.info.run_id != own}
    assert states == {"trial running": "KILLED", "trial done": "FINISHED"}
    assert found["trial running"].data.tags["rnnlane.reason"] == "its driver died"
    assert client.real.get_run(search.parent.run_id).info.status == "KILLED"


def test_a_dead_driver_whose_log_cannot_be_sent_is_ended_all_the_same(
    start: Callable[..., SearchTracker], client: Unsteady, uri: str, tmp_path: Path
) -> None:
    search = start()
    crash(search)
    (tmp_path / "log").mkdir()
    client.script = ["ok", "lost"]
    terminate_run(uri, search.run_id, "KILLED", reason="it died", log_folder=tmp_path / "log")
    assert "log_artifacts" in client.calls
    assert client.real.get_run(search.run_id).info.status == "KILLED"


def test_a_record_of_a_trial_that_was_never_opened_is_put_aside(
    start: Callable[..., SearchTracker], caplog: pytest.LogCaptureFixture
) -> None:
    search = start()
    search.tag_trial("nobody", {"a": "b"})
    assert not search.finish("FINISHED")
    assert "the trial 'nobody' has no run" in caplog.text


def _fill(outbox: Outbox, address: str) -> None:
    """One trial that two processes worked on; both logged epoch 2."""

    def metrics(step: int) -> Mapping[str, Any]:
        return {"step": step, "values": {"val/loss": 1.0, "train/loss": 2.0}}

    def best(value: float) -> Mapping[str, Any]:
        return {"step": 0, "values": {"best/val/loss": value}, "replaces": True}

    create = {"name": address, "params": {"a": "1"}, "tags": {}}
    writes: list[tuple[Any, Mapping[str, Any]]] = [
        *(("create", create), ("metrics", metrics(1)), ("metrics", metrics(2))),
        *(("params", {"clip": "0.5"}), ("metrics", best(0.75))),
        *(("tags", {"rnnlane.reason": "lost"}), ("finish", {"status": "FAILED"})),
        *(("create", create), ("metrics", metrics(2)), ("metrics", metrics(3))),
        *(("params", {"clip": "0.6"}), ("metrics", best(0.25)), ("metrics", best(0.5))),
        *(("tags", {"mlflow.runName": "pruned"}), ("finish", {"status": "FINISHED"})),
    ]
    for time_ms, (kind, content) in enumerate(writes, start=1):
        outbox.append(kind, content, run_id=address, time_ms=time_ms)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=st.lists(
        st.sampled_from(["ok", "ok", "ok", "lost", "unanswered", "killed"]), max_size=30
    )
)
def test_no_order_of_outages_and_kills_doubles_a_run_or_a_point(
    uri: str, client: Unsteady, script: list[str]
) -> None:
    parent = client.real.create_run("0")
    address = trial_address(parent.info.run_id, "key")
    client.script = list(script)
    with TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder), store=store_identity(uri))
        _fill(outbox, address)
        destination = MlflowDestination(client)  # type: ignore[arg-type]
        while outbox.head() is not None:
            try:
                send_all(outbox, destination)
            except ConnectionError:
                # The same process tries again.
                continue
            except Killed:
                # What a new process does.
                outbox.close()
                outbox = Outbox(Path(folder), store=store_identity(uri))
                destination = MlflowDestination(client)  # type: ignore[arg-type]
        assert outbox.counts() == (0, 0)
        outbox.close()
    (run,) = child_runs(client.real, parent)
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1, 15)
    assert run.info.run_name == "pruned"
    assert "rnnlane.reason" not in run.data.tags
    assert run.data.params == {"a": "1", "clip": "0.5"}
    assert run.data.metrics["best/val/loss"] == 0.5
    assert steps(client, run) == steps(client, run, "train/loss") == [1, 2, 3]
