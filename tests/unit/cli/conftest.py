"""A verb called in this process: its work is replaced, its parsing and printing are not."""

import pytest
from typer.testing import CliRunner

from rnnlane.cli.main import app


@pytest.fixture(autouse=True)
def _no_warm_up(monkeypatch):
    """No store is opened, and no thread outlives its test."""
    for verb in ("baseline", "ensemble", "train", "tune"):
        monkeypatch.setattr(f"rnnlane.cli.{verb}.open_store_and_import", lambda *_, **__: None)


@pytest.fixture
def experiment(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ndata:\n  source: {kind: generated}\n")
    return str(file)


@pytest.fixture
def call():
    """Calls the command with arguments; bad input that it refuses is raised."""

    def call(*arguments, exit_code=0, **keywords):
        done = CliRunner().invoke(app, [str(item) for item in arguments], **keywords)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == exit_code, done.output
        return done

    return call


@pytest.fixture
def replaced(monkeypatch):
    """Replaces a function of a module by one that records its arguments and returns a value."""

    def replaced(target, value):
        calls = []

        def record(*arguments, **keywords):
            calls.append((arguments, keywords))
            return value

        monkeypatch.setattr(target, record)
        return calls

    return replaced
