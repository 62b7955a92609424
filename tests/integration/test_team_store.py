"""A team's store: an MLflow server with accounts on PostgreSQL, under load and killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

import processes
from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import TrackingError
from rnnlane.tracking.client import open_client
from rnnlane.tracking.delivery import MlflowDestination
from rnnlane.tracking.outbox import Record
from rnnlane.tracking.run import RunSpec, start_run
from rnnlane.tracking.store import download_artifacts, list_runs
from rnnlane.tracking.ui import page_address
from support import many_writers
from support.command import wait_until
from support.many_writers import NUM_KEYS, NUM_PROCESSES, NUM_STEPS, NUM_THREADS, value_of
from support.team_server import TeamServer, log_in

pytestmark = pytest.mark.slow

NUM_POINTS = NUM_PROCESSES * NUM_THREADS * NUM_STEPS * NUM_KEYS
API = "/api/2.0/mlflow"


@pytest.fixture(scope="module")
def team() -> Iterator[TeamServer]:
    team = TeamServer()
    yield team
    team.close()


def finished_run(name: str, mlflow_experiment: str, tmp_path: Path) -> str:
    """A run with a metric and a file, of the current account."""
    config = TrackingConfig(mlflow_experiment=mlflow_experiment, system_metrics=False)
    spec = RunSpec(name=name, predictor="m:C", class_names=("a", "b"))
    tracker = start_run(config, spec, outbox=tmp_path / f"outbox-{name}")
    tracker.log_history([{"epoch": 1, "val/loss": 0.5}])
    files = tmp_path / f"files-{name}"
    files.mkdir()
    (files / "a.txt").write_text(name)
    tracker.log_artifacts(files)
    assert tracker.finish("FINISHED")
    return tracker.run_id


@pytest.mark.release
def test_32_writers_neither_lose_nor_duplicate_a_point_while_the_server_is_killed(
    team: TeamServer, tmp_path: Path
) -> None:
    """20,000 points, each with a value of its own, counted in the database itself."""
    environment = {**os.environ, **team.environment()}
    command = [sys.executable, many_writers.__file__, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, str(n)], env=environment, stderr=subprocess.PIPE, text=True)
        for n in range(NUM_PROCESSES)
    ]
    try:
        wait_until(
            lambda: len(list(tmp_path.glob("ready-*"))) == NUM_PROCESSES, what="32 runs to start"
        )
        (tmp_path / "go").touch()
        wait_until(lambda: num_points(team) > NUM_POINTS // 8, what="the first points")
        team.kill()
        before = num_points(team)
        time.sleep(2)
        team.start_again()
        said = [writer.communicate(timeout=500)[1] for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    assert before < NUM_POINTS, "the server was killed after the last point: kill it earlier"
    assert [writer.returncode for writer in writers] == [0] * NUM_PROCESSES, said
    assert any("away since" in text for text in said)
    stored = team.query(
        "select r.name, m.key, m.step, m.value from metrics m join runs r using (run_uuid)"
        " where r.name like 'writer-%'"
    )
    expected = {
        (f"writer-{writer}", f"metric/{key}", step): value_of(writer, step, key)
        for writer in range(NUM_PROCESSES * NUM_THREADS)
        for step in range(1, NUM_STEPS + 1)
        for key in range(NUM_KEYS)
    }
    assert NUM_POINTS == 20_000
    assert len(stored) == NUM_POINTS
    assert {(name, key, step): value for name, key, step, value in stored} == expected
    ended = team.query("select status, count(*) from runs where name like 'writer-%' group by 1")
    assert ended == [("FINISHED", NUM_PROCESSES * NUM_THREADS)]


def num_points(team: TeamServer) -> int:
    return int(team.query("select count(*) from metrics where key like 'metric/%'")[0][0])


def test_a_record_that_is_sent_again_is_in_the_database_once(
    team: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the sender does not know that it arrived, since the killed server did not answer."""
    log_in(monkeypatch, team.environment())
    run_id = finished_run("twice", "twice", tmp_path)
    destination = MlflowDestination(open_client(team.url))
    for step, again in ((7, False), (7, False), (7, True), (8, False)):
        values = {"loss": 1.5, "broken": float("nan"), "huge": float("inf")}
        content = {"step": step, "values": values}
        destination.deliver(Record(1, "metrics", run_id, 1000 + step, content), again=again)
    counted = team.query(
        f"select key, step, count(*) from metrics where run_uuid = '{run_id}' and step > 1"
        " group by 1, 2 order by 1, 2"
    )
    keys = ("broken", "huge", "loss")
    assert counted == [(key, step, 1) for key in keys for step in (7, 8)]


@pytest.fixture(scope="module")
def reader(team: TeamServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run ids of one experiment that the reader may see and of one that it may not."""
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as monkeypatch:
        log_in(monkeypatch, team.environment())
        runs = {name: finished_run(name, name, folder) for name in ("open", "closed")}
    team.server.add_reader("ana", mlflow_experiment="open")
    return runs


def test_a_reader_sees_only_what_it_may(
    team: TeamServer, reader: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, team.environment("ana"))
    found = list_runs(team.url, mlflow_experiment=None, limit=50)
    assert [run.run_id for run in found] == [reader["open"]]
    copied = download_artifacts(team.url, reader["open"], "a.txt", tmp_path)
    assert copied.read_text() == "open"
    with pytest.raises(TrackingError, match="there is no 'closed'"):
        list_runs(team.url, mlflow_experiment="closed", limit=1)
    with pytest.raises(TrackingError):
        download_artifacts(team.url, reader["closed"], "a.txt", tmp_path)


def test_a_reader_cannot_write(
    team: TeamServer, reader: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = team.environment("ana")
    login = (ana["MLFLOW_TRACKING_USERNAME"], ana["MLFLOW_TRACKING_PASSWORD"])
    opened = requests.get(
        f"{team.url}{API}/runs/get", params={"run_id": reader["open"]}, auth=login, timeout=30
    ).json()["run"]["info"]
    run, experiment = opened["run_id"], opened["experiment_id"]
    path = opened["artifact_uri"].partition(":")[2]
    metric = {"run_id": run, "key": "x", "value": 1, "timestamp": 1, "step": 1}
    for verb, body in {
        "runs/log-metric": metric,
        "runs/set-tag": {"run_id": run, "key": "a", "value": "b"},
        "runs/update": {"run_id": run, "status": "FAILED"},
        "runs/delete": {"run_id": run},
        "runs/create": {"experiment_id": experiment},
        "experiments/delete": {"experiment_id": experiment},
        "users/create": {"username": "eve", "password": "a long password"},
    }.items():
        answer = requests.post(f"{team.url}{API}/{verb}", json=body, auth=login, timeout=30)
        assert answer.status_code == 403, verb
    artifact = f"{team.url}/api/2.0/mlflow-artifacts/artifacts{path}/a.txt"
    assert requests.get(artifact, auth=login, timeout=30).text == "open"
    assert requests.put(artifact, data=b"x", auth=login, timeout=30).status_code == 403
    closed = requests.get(
        f"{team.url}{API}/runs/get", params={"run_id": reader["closed"]}, auth=login, timeout=30
    )
    assert closed.status_code == 403
    log_in(monkeypatch, ana)
    spec = RunSpec(name="no", predictor="m:C", class_names=("a", "b"))
    with pytest.raises(TrackingError, match=r"Permission denied|403"):
        start_run(TrackingConfig(mlflow_experiment="open"), spec, outbox=tmp_path / "outbox")


def test_without_an_account_nothing_is_shown(team: TeamServer, reader: dict[str, str]) -> None:
    get = {"params": {"run_id": reader["open"]}, "timeout": 30}
    for path in (f"{API}/runs/get", f"{API}/experiments/search", f"{API}/users/get", "/"):
        assert requests.get(f"{team.url}{path}", **get).status_code == 401, path
        wrong = requests.get(f"{team.url}{path}", auth=("admin", "password1234"), **get)
        assert wrong.status_code == 401, path
    login = team.server.account("ana")
    foreign = requests.get(
        f"{team.url}{API}/runs/get", auth=login, headers={"Host": "evil.example"}, **get
    )
    assert foreign.status_code == 403


def test_the_page_of_an_experiment_has_no_credentials_in_its_address(
    team: TeamServer, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, team.environment("ana"))
    _, password = team.server.account("ana")
    uri = team.url.replace("://", f"://ana:{password}@")
    page = page_address(uri, served_at="", mlflow_experiment="open")
    assert page.startswith(f"{team.url}/#/experiments/")
    assert password not in page
    assert page_address(team.url, served_at="", mlflow_experiment="closed") == team.url
    log_in(monkeypatch, {})
    assert page_address(team.url, served_at="", mlflow_experiment="open") == team.url


def test_secrets_are_in_no_argument_and_in_no_readable_file(team: TeamServer) -> None:
    accounts = [file.stem for file in team.server.accounts.glob("*.ini")]
    secrets = [team.server.account(name)[1] for name in accounts] + [team.database.password]
    started = processes.marked(team.mark)
    assert len(started) > 5
    arguments = [" ".join(process.cmdline()) for process in started]
    logs = [file.read_text() for file in team.folder.rglob("*.log")]
    for secret in secrets:
        assert not [text for text in arguments + logs if secret in text]
    files = [path for path in team.folder.rglob("*") if path.is_file() and "data" not in path.parts]
    holding = [path for path in files if any(s.encode() in path.read_bytes() for s in secrets)]
    assert len(holding) >= len(accounts)
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}


def test_all_listen_on_loopback(team: TeamServer) -> None:
    pids = {process.pid for process in processes.marked(team.mark)}
    listening = [
        connection.laddr
        for connection in psutil.net_connections("tcp")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN
    ]
    assert {address.port for address in listening} >= {team.server.port, team.database.port}
    assert {address.ip for address in listening} == {"127.0.0.1"}
