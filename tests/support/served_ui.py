"""`rnnlane ui` over a store in a file."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import requests

from support.command import command_environment, wait_until
from support.ports import free_ports


@contextlib.contextmanager
def served_ui(home: Path, *arguments: str) -> Iterator[str]:
    """The address that the command prints, while it serves the store.

    Args:
        home: rnnlane's, which has the store.
        arguments: of the command.
    """
    port = str(free_ports(1)[0])
    command = [sys.executable, "-m", "rnnlane", "ui", "--json", "--port", port, *arguments]
    process = subprocess.Popen(
        command,
        env=command_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["url"]
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/health"), what="the server")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
