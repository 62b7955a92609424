"""Which Ray a driver starts or joins, and what it says of one that does not start."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray

from rnnlane.errors import JobError
from rnnlane.ray_cluster import connect as cluster
from support.events import Remembered
from support.tiny import tiny_experiment

DASHBOARD = """
The last 20 lines of {log} (it contains the error message from the dashboard):
Traceback (most recent call last):
  File "dashboard.py", line 281, in <module>
OSError: [Errno 28] No space left on device
"""
TIMED_OUT = "The current node timed out during startup. This could happen because some of the ..."
RAYLET = """[2026-11-27 09:44:40,704 E 14746 14756] (raylet) dlmalloc.cc:215: mmap failed: no memory
[2026-11-27 09:44:40,715 C 14746 14756] (raylet) plasma_allocator.cc:79:  An unexpected state ...
*** StackTrace Information ***
/lib/x86_64-linux-gnu/libc.so.6(+0x1098ec) [0x7f56665278ec]
"""
SLOW_AGENT = """[2026-11-28 00:41:39,316 C 126 126] (raylet) node_manager.cc:3576:  An unexpected \
system state has occurred. Check failed: statussetor3576.has_value() Timed out waiting for file \
/tmp/ray/x
*** StackTrace Information ***
"""
RUNTIME = tiny_experiment().runtime


@pytest.fixture
def inits(monkeypatch, tmp_path):
    """What ``ray.init()`` is called with."""
    calls = []
    started = SimpleNamespace(
        address_info={"session_dir": str(tmp_path)}, dashboard_url="127.0.0.1:8265"
    )
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options) or started)
    monkeypatch.setattr(cluster.signal, "signal", lambda *_: None)
    monkeypatch.setattr(cluster, "remove_at_exit", lambda _folder: None)
    for name in ("RAY_ADDRESS", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return calls


def test_without_an_address_ray_is_told_to_start_its_own_with_a_private_token(inits, tmp_path):
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_TOKEN": ""}
    cluster.connect(RUNTIME)
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert [call["address"] for call in inits] == ["local"]
    assert inits[0]["include_dashboard"] is True


def test_an_address_is_joined_with_nothing_about_resources(inits, monkeypatch):
    monkeypatch.setattr(cluster, "cluster_to_join", lambda: "head:6379")
    cluster.connect(RUNTIME)
    assert inits == [{"address": "head:6379", "logging_level": 40, "log_to_driver": False}]


def failure(monkeypatch, message):
    tried = []

    def fail(**options):
        tried.append(options)
        raise Exception(message)  # noqa: TRY002 (as Ray does)

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(JobError) as caught:
        cluster.connect(RUNTIME)
    assert "doctor" not in caught.value.remedy
    # Only a start that timed out is tried again.
    assert len(tried) == (2 if "imed out" in caught.value.message else 1)
    return caught.value


@pytest.mark.usefixtures("inits")
def test_a_ray_that_does_not_start_names_the_cause_and_its_log(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    quoted = failure(monkeypatch, DASHBOARD.format(log="/x/dashboard.log"))
    assert str(quoted).startswith(
        "/x/dashboard.log: Ray cannot be started: OSError: [Errno 28] No space left on device ("
    )
    assert failure(monkeypatch, TIMED_OUT).message == f"Ray cannot be started: {TIMED_OUT}"
    later = RAYLET.replace("no memory", "another's")
    for name, text in ((f"2026-11-27_09_{os.getpid()}", RAYLET), ("2026-11-27_10_1", later)):
        logs = tmp_path / "ray" / f"session_{name}" / "logs"
        logs.mkdir(parents=True)
        (logs / "gcs_server.err").touch()
        (logs / "raylet.err").write_text(text)
    native = failure(monkeypatch, TIMED_OUT)
    assert native.message == "Ray cannot be started: mmap failed: no memory"
    assert native.where.endswith(f"_{os.getpid()}/logs/raylet.err")


@pytest.mark.parametrize("cause", [TIMED_OUT, SLOW_AGENT])
def test_a_start_that_timed_out_is_tried_once_more(cause, inits, monkeypatch, tmp_path):
    logs = tmp_path / "ray" / f"session_2026-11-27_09_{os.getpid()}" / "logs"
    logs.mkdir(parents=True)
    if cause is SLOW_AGENT:
        (logs / "raylet.err").write_text(cause)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    removed, events, start = [], Remembered(), ray.init
    monkeypatch.setattr(cluster, "remove_at_exit", removed.append)
    server = subprocess.Popen([sys.executable, "-c", "input()", logs.parent], stdin=subprocess.PIPE)
    try:

        def time_out(**options):
            monkeypatch.setattr(ray, "init", start)
            raise Exception(TIMED_OUT)  # noqa: TRY002 (as Ray does)

        monkeypatch.setattr(ray, "init", time_out)
        cluster.connect(RUNTIME, events)
        assert server.poll() is not None, "what the first start left runs on"
    finally:
        server.kill()
        server.wait()
    assert len(inits) == 1
    assert removed == [logs.parent, tmp_path]
    assert len(events.notes) == 1
    assert "trying once more" in events.notes[0]


@pytest.mark.usefixtures("inits")
def test_a_second_time_out_is_the_error(monkeypatch, tmp_path):
    logs = tmp_path / "ray" / f"session_2026-11-27_09_{os.getpid()}" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text(SLOW_AGENT)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    message = failure(monkeypatch, TIMED_OUT).message
    assert message == "Ray cannot be started: Timed out waiting for file /tmp/ray/x"


@pytest.mark.usefixtures("inits")
@pytest.mark.parametrize("address", [None, "head:6379"])
def test_a_sigterm_while_ray_starts_is_an_interrupt_like_any_other(address, monkeypatch):
    def terminated(**_):
        sys.exit(signal.SIGTERM)  # as Ray's own handler does

    monkeypatch.setattr(cluster, "cluster_to_join", lambda: address)
    monkeypatch.setattr(ray, "init", terminated)
    with pytest.raises(KeyboardInterrupt):
        cluster.connect(RUNTIME)
