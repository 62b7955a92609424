"""What the probe does on each node, run in this process."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray

from rnnlane.doctor import probe
from rnnlane.doctor.probe import _NodeProbe
from support.nvml import with_gpus


def test_it_starts_without_any_of_our_packages():
    """-S leaves out site-packages, and -I the paths that lead to rnnlane."""
    code = f"import runpy; runpy.run_path({probe.__file__!r}, run_name='probe')"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_each_node_reads_what_every_node_wrote(tmp_path):
    nodes = [_NodeProbe(str(tmp_path)) for _ in range(2)]
    assert [node.write("check", number) for number, node in enumerate(nodes)] == [None, None]
    assert [node.read("check", [0, 1]) for node in nodes] == [None, None]
    nodes[0].clean("check")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_of_another_node_is_noticed(tmp_path):
    shared, own = (_NodeProbe(str(tmp_path / name)) for name in ("shared", "own"))
    shared.write("check", 0)
    own.write("check", 1)
    assert own.read("check", [0, 1]).startswith(("FileNotFoundError", "DataError"))
    (tmp_path / "own" / "check" / "0").write_bytes(b"else")
    assert own.read("check", [0]) == "the file of node 0 has other content than was written"


def test_a_storage_that_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").touch()
    assert "Error: " in _NodeProbe(str(tmp_path / "file")).write("check", 0)


def test_missing_packages_have_no_version(tmp_path):
    assert _NodeProbe("").versions(["ray", "no-such"]) == {"ray": ray.__version__, "no-such": None}


def test_a_node_that_fails_is_asked_no_further(monkeypatch):
    def get(reference, timeout):
        if isinstance(reference, Exception):
            raise reference
        return reference

    monkeypatch.setattr(ray, "get", get)
    nodes = [{"name": "a"}, {"name": "b"}]
    probe._ask(nodes, "storage", [None, ray.exceptions.GetTimeoutError("too late\nfor b")])
    probe._ask(nodes, "packages", [{"ray": "1"}, {"ray": "1"}])
    assert nodes[0] == {"name": "a", "storage": None, "packages": {"ray": "1"}}
    assert nodes[1] == {"name": "b", "error": "GetTimeoutError: too late"}


def test_a_clock_is_compared_with_the_middle_of_the_request(monkeypatch):
    times = iter([100.0, 102.0])
    monkeypatch.setattr(probe.time, "time", lambda: next(times))
    monkeypatch.setattr(ray, "get", lambda reference, timeout: reference)
    node = SimpleNamespace(now=SimpleNamespace(remote=lambda: 106.0))
    assert probe._ahead_s(node) == pytest.approx(5.0)


def test_nothing_is_checked_where_no_store_is_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert probe._mlflow(None) == {"uri": None, "error": None}


def test_a_store_that_cannot_be_used_is_reported_without_its_password(tmp_path):
    found = probe._mlflow(f"ftp://me:hunter2@host{tmp_path}")
    assert found["error"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(("home", "expected"), [("/data", "/data"), ("", "/home/me/.rnnlane")])
def test_the_default_storage_is_the_home_of_jobs(monkeypatch, home, expected):
    monkeypatch.setenv("RNNLANE_HOME", home)
    monkeypatch.setenv("HOME", "/home/me")
    assert probe._default_storage() == expected


def test_gpus_have_the_names_of_the_driver_or_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert _NodeProbe("").gpu_names() == []
    with_gpus(monkeypatch)
    assert _NodeProbe("").gpu_names() == ["NVIDIA H100 80GB HBM3", "NVIDIA A100 80GB PCIe"]
