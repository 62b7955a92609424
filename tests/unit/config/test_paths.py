from pathlib import Path

import pytest

from rnnlane.config.paths import home, storage_root
from support.tiny import tiny_experiment


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLANE_HOME", raising=False)


def test_home_is_an_absolute_folder_that_the_environment_may_name(monkeypatch, tmp_path):
    assert home() == tmp_path / ".rnnlane"
    monkeypatch.setenv("RNNLANE_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("configured", "root"),
    [
        ("/data/x/", "/data/x"),
        ("data", "{cwd}/data"),
        ("s3://bucket/x/", "s3://bucket/x"),
        ("null", "{cwd}/.rnnlane"),
    ],
)
def test_the_storage_is_a_uri_or_an_absolute_folder(configured, root):
    config = tiny_experiment(f"runtime.storage_path={configured}")
    assert storage_root(config) == root.format(cwd=Path.cwd())
