"""The tracker against real MLflow: SQLite files, servers that die, models that are served."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import ConfigError, TrackingError
from rnnlane.pipeline import promote
from rnnlane.tracking.client import open_client
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.outbox import Outbox
from rnnlane.tracking.run import MlflowTracker, RunSpec, send_outbox, start_run
from rnnlane.tracking.store import (
    check_store,
    download_artifacts,
    download_model,
    find_run,
    list_runs,
)
from rnnlane.tracking.uris import store_identity
from support.command import wait_until
from support.mlflow_server import Server, end, free_port, wait_for
from support.webhooks import SECRET, receiver

SPEC = RunSpec(
    name="first",
    predictor="tiny_predictor:Predictor",
    class_names=("neg", "pos"),
    params={"model.cell": "lstm", "seed": 0},
    tags={"team": "reviews", "rnnlane.run_key": "first"},
)
PREDICTOR = """
from types import SimpleNamespace

import numpy as np

class Predictor:
    def __init__(self, folder):
        self.word = (folder / "word.txt").read_text()
        self.class_names = ("neg", "pos")

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def predict(self, texts):
        positive = np.array([0.75 if self.word in text else 0.25 for text in texts])
        probabilities = np.stack([1 - positive, positive], axis=1).astype(np.float32)
        return SimpleNamespace(probabilities=probabilities, num_known_tokens=[1] * len(texts))
"""


def config(uri: str, **changes: Any) -> TrackingConfig:
    return TrackingConfig(uri=uri, **{"system_metrics": False, **changes})


def history(num_epochs: int) -> list[dict[str, float]]:
    return [{"epoch": e, "train/loss": 1 / e, "val/loss": 2 / e} for e in range(1, num_epochs + 1)]


def points(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """Step and value of each point of a metric, in the order of their times."""
    found = open_client(uri).get_metric_history(run_id, key)
    return [(metric.step, metric.value) for metric in sorted(found, key=lambda m: m.timestamp)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    # MLflow refuses such a name for what it packs.
    folder = tmp_path / "bundle #1 100%"
    folder.mkdir()
    (folder / "word.txt").write_text("good")
    return folder


@pytest.fixture
def predictor_path(tmp_path: Path) -> Path:
    folder = tmp_path / "predictor"
    folder.mkdir()
    (folder / "tiny_predictor.py").write_text(PREDICTOR)
    return folder


@contextmanager
def crashed(tracker: MlflowTracker) -> Iterator[None]:
    """Releases a tracker as a killed process does: nothing is flushed, the run stays RUNNING."""
    tracker.sender.drain(10.0)
    tracker.sender.stop()
    yield
    tracker.sender.outbox.close()


def test_a_run_in_a_fresh_sqlite_store_holds_all_it_was_given(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    tracker = start_run(config(uri, tags={"a": "b"}), SPEC, outbox=tmp_path / "outbox")
    tracker.log_history([{"epoch": 1, "val/loss": math.nan}, {"epoch": 2, "val/loss": 0.5}])
    tracker.log_artifacts(folder, "sub")
    assert tracker.finish("FINISHED", reason="done at http://me:hunter2@host")

    run = find_run(uri, "latest")
    assert (run.run_id, run.name, run.status) == (tracker.run_id, "first", "FINISHED")
    assert run.params == {"model.cell": "lstm", "seed": "0"}
    assert run.tags.items() >= {"a": "b", "team": "reviews"}.items()
    assert run.tags["rnnlane.reason"] == "done at http://***@host"
    assert run.duration_s is not None
    assert run.artifact_uri.startswith((tmp_path / "new" / "mlartifacts").as_uri())
    steps = points(uri, run.run_id, "val/loss")
    assert [step for step, _ in steps] == [1, 2]
    assert math.isnan(steps[0][1])
    copied = download_artifacts(uri, run.run_id, "sub", tmp_path / "copy")
    assert (copied / "a.txt").read_text() == "x"


def test_two_processes_may_open_a_fresh_sqlite_store_at_once(tmp_path: Path) -> None:
    program = "import sys; from rnnlane.tracking.store import check_store; check_store(sys.argv[1])"
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'mlflow.db'}"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]


def test_a_run_resumed_after_a_crash_has_neither_gaps_nor_doubles(
    sqlite: str, tmp_path: Path
) -> None:
    outbox = tmp_path / "outbox"
    first = start_run(config(sqlite), SPEC, outbox=outbox)
    first.log_history(history(2))
    with crashed(first):
        # Epoch 2 was sent but not marked, epoch 3 was written to the outbox but not sent.
        first._write("metrics", {"step": 2, "values": {"train/loss": 1 / 2, "val/loss": 2 / 2}})
        first._write("metrics", {"step": 3, "values": {"train/loss": 1 / 3, "val/loss": 2 / 3}})
    assert find_run(sqlite, first.run_id).status == "RUNNING"

    second = start_run(
        config(sqlite),
        RunSpec(**{**vars(SPEC), "params": {"seed": 0, "new": 1}}),
        outbox=outbox,
        resume_run_id=first.run_id,
    )
    second.log_history(history(4))
    assert second.finish("FINISHED")
    assert second.run_id == first.run_id
    for key, numerator in (("train/loss", 1), ("val/loss", 2)):
        expected = [(step, numerator / step) for step in (1, 2, 3, 4)]
        assert points(sqlite, first.run_id, key) == expected
    assert find_run(sqlite, first.run_id).params["new"] == "1"


def test_a_resumed_run_is_running_and_forgets_why_it_failed(sqlite: str, tmp_path: Path) -> None:
    first = start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox")
    first.finish("FAILED", reason="worker lost")
    failed = find_run(sqlite, first.run_id)
    assert (failed.status, failed.tags["rnnlane.reason"]) == ("FAILED", "worker lost")
    second = start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox", resume_run_id=first.run_id)
    resumed = find_run(sqlite, first.run_id)
    assert (resumed.status, resumed.duration_s) == ("RUNNING", None)
    second.finish("FINISHED")
    assert "rnnlane.reason" not in find_run(sqlite, first.run_id).tags


def test_resuming_needs_a_run_that_is_there(sqlite: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="cannot resume the run 123"):
        start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox", resume_run_id="123")
    run = start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox")
    run.finish("FINISHED")
    open_client(sqlite).delete_run(run.run_id)
    with pytest.raises(TrackingError, match="was deleted"):
        start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox", resume_run_id=run.run_id)


def test_writes_to_a_deleted_run_are_put_aside(sqlite: str, tmp_path: Path) -> None:
    tracker = start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox")
    open_client(sqlite).delete_run(tracker.run_id)
    tracker.log_history(history(1))
    assert not tracker.finish("FINISHED")
    outbox = Outbox(tmp_path / "outbox", store=store_identity(sqlite))
    num_pending, num_rejected = outbox.counts()
    assert num_pending == 0
    assert num_rejected > 0
    outbox.close()


def test_system_metrics_go_on_where_they_ended(sqlite: str, tmp_path: Path) -> None:
    settings = config(sqlite, system_metrics=True)
    first = start_run(settings, SPEC, outbox=tmp_path / "outbox")
    first.finish("KILLED")
    start_run(settings, SPEC, outbox=tmp_path / "outbox", resume_run_id=first.run_id).finish(
        "FINISHED"
    )
    key = "system/cpu_utilization_percentage"
    assert [step for step, _ in points(sqlite, first.run_id, key)] == [0, 1]


def test_runs_are_found_by_id_prefix_name_and_latest(sqlite: str, tmp_path: Path) -> None:
    for name in ("it's one", "other", "other"):
        tags = {"rnnlane.run_key": name}
        spec = RunSpec(name=name, predictor="m:C", class_names=("a", "b"), tags=tags)
        start_run(
            config(sqlite, mlflow_experiment="finding"), spec, outbox=tmp_path / "outbox"
        ).finish("FINISHED")
    newest, older, oldest = list_runs(sqlite, mlflow_experiment="finding", limit=3)
    assert [newest.name, older.name, oldest.name] == ["other", "other", "it's one"]
    assert find_run(sqlite, oldest.run_id) == oldest
    assert find_run(sqlite, oldest.run_id[:12]) == oldest
    assert find_run(sqlite, "it's one") == oldest
    assert find_run(sqlite, "other") == newest
    assert find_run(sqlite, "latest") == newest
    with pytest.raises(ConfigError) as caught:
        find_run(sqlite, "othr")
    assert "other" in str(caught.value.remedy)
    with pytest.raises(TrackingError, match="there is no 'nowhere'"):
        list_runs(sqlite, mlflow_experiment="nowhere", limit=1)


def test_a_store_that_is_not_there_has_no_runs_and_is_not_made(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert list_runs(uri, mlflow_experiment=None, limit=10) == []
    with pytest.raises(ConfigError, match="the store is empty"):
        find_run(uri, "latest")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["http://me:hunter2@127.0.0.1:{port}", "postgresql://me:hunter2@127.0.0.1:{port}/db"]
)
def test_a_store_that_is_away_at_the_start_fails_with_a_remedy(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="Connection refused") as caught:
        start_run(config(uri.format(port=free_port())), SPEC, outbox=tmp_path / "outbox")
    assert "check the address" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_check_store_writes_where_runs_will_go(sqlite: str) -> None:
    check_store(sqlite, mlflow_experiment="checked")
    found = open_client(sqlite).get_experiment_by_name("checked")
    assert found is not None
    assert "rnnlane.checked" in found.tags


def test_a_killed_server_costs_nothing_but_patience(
    server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    tracker = start_run(config(server.uri), SPEC, outbox=tmp_path / "outbox")
    tracker.log_history(history(2))
    server.kill()
    for num_epochs in (3, 4, 5):
        tracker.log_history(history(num_epochs), num_epochs)
    tracker.log_datasets([DatasetInfo("x-val", "f", "val", "/data/x.csv", {"num_rows": 3})])
    tracker.log_artifacts(folder)
    while "away since" not in caplog.text:
        time.sleep(0.01)
    server.start()
    tracker.log_history(history(6))
    assert tracker.finish("FINISHED")

    assert points(server.uri, tracker.run_id, "train/loss") == [(e, 1 / e) for e in range(1, 7)]
    assert points(server.uri, tracker.run_id, "val/loss") == [(e, 2 / e) for e in range(1, 7)]
    found = find_run(server.uri, tracker.run_id)
    assert found.status == "FINISHED"
    assert (found.metrics["best_epoch"], found.metrics["best/val/loss"]) == (5, 2 / 5)
    (used,) = open_client(server.uri).get_run(tracker.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("x-val", "f")
    copied = download_artifacts(server.uri, tracker.run_id, "a.txt", tmp_path / "copy")
    assert copied.read_text() == "x"
    assert caplog.text.count("away since") == caplog.text.count("server back") == 1
    assert capfd.readouterr().out == ""


def test_what_a_run_leaves_behind_can_be_sent_later(
    server: Server, tmp_path: Path, bundle: Path
) -> None:
    outbox = tmp_path / "outbox"
    tracker = start_run(config(server.uri, flush_timeout_s=0.2), SPEC, outbox=outbox)
    assert tracker.sender.drain(10.0)
    server.kill()
    tracker.log_history(history(2))
    tracker.log_model(bundle, best_epoch=1)
    (bundle / "word.txt").unlink()
    assert not tracker.finish("FAILED", reason="no disk")
    ended_at = time.time()
    with pytest.raises(TrackingError, match="Connection refused"):
        send_outbox(server.uri, outbox)
    server.start()
    assert send_outbox(server.uri, outbox) == 5
    assert send_outbox(server.uri, outbox) == 0
    run = find_run(server.uri, tracker.run_id)
    assert (run.status, run.tags["rnnlane.reason"]) == ("FAILED", "no disk")
    assert run.duration_s is not None
    assert run.started_at + run.duration_s <= ended_at
    assert points(server.uri, run.run_id, "val/loss") == [(1, 2.0), (2, 1.0)]
    copied = download_model(server.uri, run.run_id, tmp_path / "copy")
    assert (copied / "word.txt").read_text() == "good"
    assert not (outbox / "files").exists()


def test_two_processes_log_to_one_server(server: Server, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from rnnlane.config.tracking import TrackingConfig
from rnnlane.tracking.run import RunSpec, start_run
config = TrackingConfig(uri={server.uri!r}, system_metrics=False, mlflow_experiment="shared")
spec = RunSpec(name=sys.argv[1], predictor="m:C", class_names=("a", "b"))
tracker = start_run(config, spec, outbox=Path({str(tmp_path)!r}) / sys.argv[1])
for last in range(1, 11):
    tracker.log_history([{{"epoch": e, "val/loss": 1 / e}} for e in range(1, last + 1)])
sys.exit(not tracker.finish("FINISHED"))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program, name]) for name in ("a", "b")]
    assert [process.wait() for process in processes] == [0, 0]
    runs = list_runs(server.uri, mlflow_experiment="shared", limit=10)
    assert sorted(run.name for run in runs) == ["a", "b"]
    for run in runs:
        assert points(server.uri, run.run_id, "val/loss") == [(e, 1 / e) for e in range(1, 11)]


def test_a_model_answers_in_a_clean_process(
    server: Server, tmp_path: Path, bundle: Path, predictor_path: Path
) -> None:
    tracker = start_run(config(server.uri), SPEC, outbox=tmp_path / "outbox")
    uri = tracker.log_model(bundle, best_epoch=1)
    assert uri == f"runs:/{tracker.run_id}/model"
    assert tracker.finish("FINISHED")
    program = """
import json, sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
inputs = [
    pandas.DataFrame({"text": ["good", "bad"]}),
    pandas.DataFrame({"other": [1, 2], "text": ["good", "bad"]}),
    pandas.Series(["good", "bad"], name="text"),
    {"text": ["good", "bad"]},
    [{"text": "good"}, {"text": "bad"}],
    ["good", "bad"],
]
print(json.dumps([model.predict(texts).to_dict("list") for texts in inputs]))
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    environment["PYTHONPATH"] = str(predictor_path)
    answer = subprocess.run(
        [sys.executable, "-c", program, uri], env=environment, check=True, capture_output=True
    )
    expected = {
        "label": ["pos", "neg"],
        "probability_neg": [0.25, 0.75],
        "probability_pos": [0.75, 0.25],
        "num_known_tokens": [1, 1],
    }
    assert json.loads(answer.stdout) == [expected] * 6
    copied = download_model(server.uri, tracker.run_id, tmp_path / "copy")
    assert (copied / "word.txt").read_text() == "good"
    names = {path.suffix for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert names.isdisjoint({".pkl", ".pickle"})
    with pytest.raises(TrackingError, match="cannot read the artifact"):
        download_artifacts(server.uri, tracker.run_id, "nothing", tmp_path / "copy")


def test_webhooks_tell_who_became_champion_and_why(
    server: Server, tmp_path: Path, bundle: Path
) -> None:
    from mlflow.entities.webhook import WebhookEvent

    client = open_client(server.uri)
    events = ["registered_model.created", "model_version.created", "model_version_alias.created"]
    runs = []
    for name in ("first", "second"):
        tracker = start_run(config(server.uri), SPEC, outbox=tmp_path / name)
        tracker.log_model(bundle, best_epoch=1)
        assert tracker.finish("FINISHED")
        runs.append(tracker.run_id)
    with receiver() as receiving:
        hook = client.create_webhook(
            "champions",
            url=receiving.url,
            events=[WebhookEvent.from_str(event) for event in events],
            secret=SECRET,
        )
        promote(runs[0], name="reviews", alias="champion", tracking_uri=server.uri)
        with pytest.raises(ConfigError, match=r"predictions/test.parquet"):
            promote(runs[1], name="reviews", alias="champion", tracking_uri=server.uri)
        promote(runs[1], name="reviews", alias="champion", force="new", tracking_uri=server.uri)
        wait_until(lambda: len(receiving.received) == 5, timeout_s=30, what="webhooks")
        client.delete_webhook(hook.webhook_id)
    # Each is sent by a thread of its own, so that they may arrive in another order.
    told = [(f"{each['entity']}.{each['action']}", each["data"]) for each in receiving.received]
    assert sorted(event for event, _ in told) == sorted([events[0], *events[1:], *events[1:]])
    versions = {data["version"]: data for event, data in told if event == events[1]}
    assert [versions[number]["run_id"] for number in ("1", "2")] == runs
    assert versions["2"]["tags"]["rnnlane.champion.reason"] == "new"
    aliases = [data for event, data in told if event == events[2]]
    assert {(data["alias"], data["version"]) for data in aliases} == {
        ("champion", "1"),
        ("champion", "2"),
    }


@pytest.mark.slow
def test_a_model_answers_over_http(
    sqlite: str, tmp_path: Path, bundle: Path, predictor_path: Path
) -> None:
    tracker = start_run(config(sqlite), SPEC, outbox=tmp_path / "outbox")
    uri = tracker.log_model(bundle, best_epoch=1)
    assert tracker.finish("FINISHED")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--model-uri", uri]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": sqlite}
    environment["PYTHONPATH"] = str(predictor_path)
    # MLflow starts the server by the name that it has on the PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process, timeout_s=120)
        for body in (
            {"inputs": [{"text": "good"}, {"text": "bad"}]},
            {"inputs": {"text": ["good", "bad"]}},
            {"inputs": ["good", "bad"]},
        ):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as response:
                predictions = json.load(response)["predictions"]
            assert [row["label"] for row in predictions] == ["pos", "neg"]
            assert predictions[0]["probability_pos"] == 0.75
    finally:
        end(process)
