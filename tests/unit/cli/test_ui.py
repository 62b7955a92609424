import json
import socket
from unittest.mock import ANY

import pytest

from rnnlane.errors import TrackingError


def test_a_port_in_use_is_refused_with_a_remedy(call, tmp_path):
    store = f"sqlite:///{tmp_path / 'x.db'}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TrackingError, match=f"port {port} cannot be used") as refused:
            call("ui", "--port", port, "--tracking-uri", store)
    assert "--port" in refused.value.remedy


def test_an_embedded_store_is_served_and_a_server_is_opened(call, replaced, tmp_path):
    served = replaced("rnnlane.tracking.ui.serve_store", None)
    opened = replaced("typer.launch", 0)
    asked = replaced("rnnlane.tracking.ui.page_address", "http://host/#/experiments/1")
    store = f"sqlite:///{tmp_path / 'x.db'}"
    found = json.loads(call("ui", "--tracking-uri", store, "--port", 5678, "--json").stdout)
    assert (found["url"], found["served_here"]) == ("http://host/#/experiments/1", True)
    assert asked[0][1]["served_at"] == "http://127.0.0.1:5678"
    assert (len(served), opened) == (1, [])
    printed = call("ui", "--tracking-uri", "http://host", "--run", "latest").stdout
    assert "http://host/#/experiments/1" in printed.splitlines()
    assert asked[1][1] == {"served_at": ANY, "mlflow_experiment": None, "run": "latest"}
    assert opened[0][0] == ("http://host/#/experiments/1",)
    assert len(served) == 1


def test_a_store_without_runs_has_its_first_page_and_is_not_created(call, replaced, tmp_path):
    replaced("rnnlane.tracking.ui.serve_store", None)
    store = f"sqlite:///{tmp_path / 'x.db'}"
    found = json.loads(call("ui", "--tracking-uri", store, "--json").stdout)
    assert found["url"] == "http://127.0.0.1:5000"
    assert list(tmp_path.iterdir()) == []
