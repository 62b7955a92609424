"""A Ray cluster of one node, to which jobs are sent."""

from __future__ import annotations

import sys

from faults.machine import DASHBOARD_PORT, TEMPORARY, WORK, Machine, answers, is_alive, wait_until


def start_head(machine: Machine) -> None:
    """Starts the head, and waits until it takes jobs."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += ["--port=6379", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={DASHBOARD_PORT}"]
    command += [f"--temp-dir={TEMPORARY / 'head'}", "--disable-usage-stats"]
    command += ["--object-store-memory=80000000"]
    for _ in range(3):
        machine.head = machine.start_service(command, log=WORK / "head.log")
        wait_until(lambda: answers(DASHBOARD_PORT) or not is_alive(machine.head), what="the head")
        if is_alive(machine.head):
            return
        # On a busy machine starting a node may time out.
    raise AssertionError((WORK / "head.log").read_text())
