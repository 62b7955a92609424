"""The disks, the network and the clock of a round, on a machine of its own."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from faults.machine import ROOT, isolated, why_not

DISK_FAULTS = """
import errno, struct, sys
from faults.catalog import all_kinds
from faults.machine import HOME, WORK, Machine, prepare_disks

prepare_disks()
HOME.mkdir()
with all_kinds()[sys.argv[1]].apply(Machine({})):
    try:
        (HOME / "new").write_bytes(bytes(100_000))
    except OSError as error:
        print(errno.errorcode[error.errno])
(HOME / "healed").write_bytes(bytes(100_000))
"""


@pytest.fixture(autouse=True)
def _needs_namespaces():
    if reason := why_not():
        pytest.skip(reason)


def run_isolated(code: str, *arguments: str) -> str:
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "platform")])
    done = subprocess.run(
        isolated(sys.executable, "-c", code, *arguments),
        check=False,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("kind", "error"),
    [("home-full", "ENOSPC"), ("inodes-exhausted", "ENOSPC"), ("home-read-only", "EPERM")],
)
def test_a_disk_fails_until_it_is_healed(kind, error):
    assert run_isolated(DISK_FAULTS, kind) == error


def test_nothing_of_it_reaches_this_machine():
    run_isolated(DISK_FAULTS, "home-full")
    assert not Path("/mnt/home/rnnlane").exists()
    assert Path("/etc/hosts").read_text().count("store.test") == 0


def test_the_clock_of_python_can_be_set(tmp_path):
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("<d", 7200.0))
    code = "import time; print(time.time(), time.time_ns() / 1e9)"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests/faults/clock"),
        "RNNLANE_FAULTS_CLOCK": str(clock),
    }
    shifted = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True
    )
    plain = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for late, now in zip(shifted.stdout.split(), plain.stdout.split(), strict=True):
        assert 6000 < float(late) - float(now) <= 7200
