"""Checks of this machine, without starting Ray."""

import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rnnlane.doctor import machine
from rnnlane.doctor.machine import store_finding
from support.leftovers import checkpoint_of, finished_run

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "not" / "made"))
    return tmp_path


def with_free(monkeypatch, gib):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, gib * 2**30))


def test_the_installed_packages_are_in_order():
    finding = machine._packages()
    assert finding.ok
    assert f"torch {metadata.version('torch')}" in finding.found


def test_a_package_out_of_range_and_a_missing_one_are_named(monkeypatch):
    needed = ["torch>=99", "no-such-package>=1", "only-for-tests>=1; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda _name: needed)
    finding = machine._packages()
    assert not finding.ok
    assert ", >=99 is tested" in finding.found
    assert "no-such-package is missing, >=1 is needed" in finding.found
    assert "only-for-tests" not in finding.found
    assert "constraints.txt" in finding.remedy


@pytest.mark.parametrize(("gib", "ok"), [(1.9, False), (2.1, True)])
def test_a_home_needs_space(home, monkeypatch, gib, ok):
    with_free(monkeypatch, gib)
    finding = machine._disk()
    assert finding.ok is ok
    assert f"{gib} GiB free" in finding.found
    assert bool(finding.remedy) is not ok


def test_a_home_that_cannot_be_written_is_a_problem(home, monkeypatch):
    def refuse(**_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    finding = machine._disk()
    assert not finding.ok
    assert "Permission denied" in finding.found


def test_disk_use_is_said_and_what_can_be_freed(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    assert machine._disk_use().found == "checkpoints 0 B, prepared data 0 B, runs 0 B, MLflow 0 B"
    assert machine._disk_use().remedy == ""
    checkpoint_of(finished_run(), 2_500_000)
    finding = machine._disk_use()
    assert finding.ok
    assert finding.found.startswith("checkpoints 2.5 MB, ")
    assert finding.remedy == "`rnnlane clean` removes 2.5 MB"


@pytest.mark.parametrize(("gib", "ok"), [(0.06, False), (1.0, True)])
def test_shared_memory_needs_room(monkeypatch, gib, ok):
    with_free(monkeypatch, gib)
    finding = machine._shared_memory()
    assert finding.ok is ok
    assert ("--shm-size" in finding.remedy) is not ok


def test_an_archive_that_is_named_must_exist(tmp_path, monkeypatch):
    archive = tmp_path / "aclImdb_v1.tar.gz"
    monkeypatch.setenv("RNNLANE_IMDB", str(archive))
    assert not machine._imdb().ok
    archive.touch()
    assert machine._imdb().ok
    monkeypatch.delenv("RNNLANE_IMDB")
    assert machine._imdb().ok


def test_a_store_that_cannot_be_used_is_a_problem_with_a_remedy(tmp_path):
    finding = store_finding(f"file://{tmp_path}")
    assert (finding.what, finding.ok) == ("MLflow store", False)
    assert finding.remedy


def test_a_home_that_is_a_file_ends_the_checks(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.touch()
    monkeypatch.setenv("RNNLANE_HOME", str(file))
    last = list(machine.diagnose(None))[-1]
    assert (last.what, last.ok) == ("home", False)
    assert last.found.endswith(f"{file} is not a folder")


def test_a_token_that_everyone_can_read_is_a_problem(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with TemporaryDirectory() as folder:  # tmp_path has private parents
        Path(folder).chmod(0o755)
        file = Path(folder) / "the token"
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
        assert list(machine._token()) == []
        file.write_text("secret")
        file.chmod(0o644)
        (finding,) = machine._token()
        assert not finding.ok
        assert "secret" not in finding.found
        assert finding.remedy == f"chmod 600 '{file}'"
        file.chmod(0o600)
        (finding,) = machine._token()
        assert (finding.ok, finding.remedy) == (True, "")
