from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rnnlane.errors import TrackingError
from rnnlane.tracking.ui import experiment_page, serve_store


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
        assert experiment_page(f"http://me:hunter2@{address}/", "x") == f"http://{address}"
