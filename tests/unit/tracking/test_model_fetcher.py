"""What the process that fetches a model tells, and what becomes of it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from rnnlane.errors import ConfigError, TrackingError
from rnnlane.tracking.model_fetcher import ModelFetcher


def test_an_error_comes_back_as_it_was_raised(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'none.db'}"
    with ModelFetcher(uri, "latest", tmp_path) as fetcher, pytest.raises(ConfigError) as caught:
        fetcher.folder()

    assert "the store is empty" in caught.value.message
    assert caught.value.where == uri
    assert caught.value.remedy is not None


def test_a_process_that_is_killed_is_told_of(tmp_path: Path) -> None:
    with ModelFetcher("sqlite:///none.db", "latest", tmp_path) as fetcher:
        fetcher._process.kill()
        with pytest.raises(TrackingError, match="ended with code -9"):
            fetcher.folder()


def test_the_address_is_not_among_the_arguments_and_nothing_is_left(tmp_path: Path) -> None:
    with ModelFetcher("https://me:hunter2@example.invalid", "latest", tmp_path) as fetcher:
        process = psutil.Process(fetcher._process.pid)
        while not (arguments := process.cmdline()):  # for a moment, while the program is loaded
            time.sleep(0.01)
        assert "rnnlane.tracking.model_fetcher" in arguments
        assert not any("hunter2" in argument for argument in arguments)
        assert "hunter2" not in str(process.environ())
    assert not process.is_running()
