from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rnnlane.errors import ConfigError, TrackingError
from rnnlane.tracking.client import open_client
from rnnlane.tracking.ui import page_address, serve_store

HERE = "http://127.0.0.1:5000"
TYPE = "workflowType=machine_learning"


@pytest.fixture
def taken_port() -> object:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    taken_port: int, tmp_path: Path
) -> None:
    with pytest.raises(TrackingError, match=f"port {taken_port} cannot be used") as caught:
        serve_store(f"sqlite:///{tmp_path / 'mlflow.db'}", port=taken_port)
    assert caught.value.remedy == "choose another one with --port"
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_has_its_first_page_without_credentials() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        assert page_address(f"http://me:hunter2@{address}/", served_at=HERE) == f"http://{address}"


def test_the_page_of_a_file_is_that_of_the_server_here_with_our_view_of_our_runs(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = open_client(uri)
    other, ours = client.create_experiment("other"), client.create_experiment("ours")
    assert page_address(uri, served_at=HERE) == HERE
    run = client.create_run(ours, tags={"rnnlane.run_key": "a"}, run_name="lstm").info.run_id
    runs = f"{HERE}/#/experiments/{ours}/runs?{TYPE}&viewStateShareKey=rnnlane-1"
    # Nobody has an experiment of the default name.
    assert page_address(uri, served_at=HERE) == runs
    assert page_address(uri, served_at=HERE, mlflow_experiment="ours") == runs
    page = f"{HERE}/#/experiments/{ours}/runs/{run}?{TYPE}"
    assert page_address(uri, served_at=HERE, run="lstm") == page
    page = f"{HERE}/#/experiments/{other}/runs?{TYPE}"
    assert page_address(uri, served_at=HERE, mlflow_experiment="other") == page
    assert client.get_experiment(other).tags.keys() <= {"mlflow.experimentKind"}
    with pytest.raises(ConfigError, match="there is no 'third'"):
        page_address(uri, served_at=HERE, mlflow_experiment="third")
