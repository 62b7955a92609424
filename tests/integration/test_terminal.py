"""Whole commands on a real terminal of 80 columns: what is printed, and what is left behind."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

import pytest

from support.command import command_environment, write_experiment

WIDTH, TIMEOUT_S = 80, 300.0
CTRL_C = b"\x03"

pytestmark = pytest.mark.slow


@pytest.fixture
def temporary():
    """Ray's sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="rnnlane-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def on_terminal(home, *arguments, interrupt_at=None, **variables):
    """The lines that a command leaves on a terminal, and its exit code.

    Args:
        home: of rnnlane.
        arguments: of the command.
        interrupt_at: what it has printed when Ctrl-C is pressed.
        variables: of the environment.
    """
    environment = {**command_environment(home), **variables, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "rnnlane", *map(str, arguments)]
        os.execve(sys.executable, command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    printed, deadline = b"", time.monotonic() + TIMEOUT_S
    with contextlib.suppress(OSError):  # the command has closed the terminal
        while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if time.monotonic() >= deadline or not (piece := os.read(terminal, 1 << 16)):
                break
            printed += piece
            if interrupt_at is not None and interrupt_at in printed:
                os.write(terminal, CTRL_C)
                interrupt_at = None
    if time.monotonic() >= deadline:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode())
    return [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")], status


def left_behind(temporary):
    ours = ("session_", "pymp-", "rnnlane-scratch-")
    return [path for path in temporary.rglob("*") if path.name.startswith(ours)]


@pytest.mark.release
def test_a_run_fits_the_terminal_and_leaves_no_folders(tmp_path, temporary):
    training = {"epochs": 1, "clip": {"policy": "auto", "calibration_steps": 5}}
    experiment = write_experiment(tmp_path, training=training, runtime={"num_workers": 1})
    home = temporary / "home"
    lines, status = on_terminal(home, "train", experiment, TMPDIR=str(temporary))
    assert status == 0, lines
    assert any(line.startswith("Ray's dashboard until this command ends: http") for line in lines)
    assert any("rnnlane predict --run" in line for line in lines)
    for line in lines:
        assert len(line) <= WIDTH or max(map(len, line.split())) > WIDTH - 14, line
    assert left_behind(temporary) == []


def test_ctrl_c_is_acknowledged_and_leaves_no_folders(tmp_path, temporary):
    experiment = write_experiment(tmp_path, training={"epochs": 10_000}, runtime={"num_workers": 1})
    home = temporary / "home"
    lines, status = on_terminal(
        home, "train", experiment, interrupt_at=b"epoch 2 ", TMPDIR=str(temporary)
    )
    assert os.waitstatus_to_exitcode(status) == 130, lines
    stopping = next(number for number, line in enumerate(lines) if line.endswith("stopping ..."))
    assert any("was interrupted; continue with --resume" in line for line in lines[stopping:])
    assert left_behind(temporary) == []
