"""What happens in the background never gets in the way of the verb."""

import sys
import threading

import pytest

from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.errors import ConfigError, TrackingError
from rnnlane.tracking import store


def wait_for_warm_up():
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join()


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "late_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "late_module"
    sys.modules.pop("late_module", None)


@pytest.mark.parametrize("error", [None, TrackingError("away")])
def test_the_store_is_opened_first_and_its_errors_are_left_to_the_verb(module, monkeypatch, error):
    opened = []

    def check_store(uri):
        opened.append((uri, module in sys.modules))
        if error is not None:
            raise error

    monkeypatch.setattr(store, "check_store", check_store)
    open_store_and_import(module, tracking_uri="http://store")
    wait_for_warm_up()
    assert opened == [("http://store", False)]
    assert module in sys.modules


def test_nothing_is_opened_where_the_verb_refuses_the_address(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(ConfigError, match="accepts jobs"):
        open_store_and_import("json", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ConfigError, match="must be a database or a server"):
        open_store_and_import("json", tracking_uri="folder")
    wait_for_warm_up()
    assert list(tmp_path.iterdir()) == []
