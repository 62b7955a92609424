"""A Ray head with token authentication, on ports and in folders of its own."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from support.ports import free_ports

# Ray serves metrics on every interface without asking for a token; port -1 turns that off.
WITHOUT_METRICS = {
    "RAY_enable_metrics_collection": "0",
    "AUTOSCALER_METRIC_PORT": "-1",
    "DASHBOARD_METRIC_PORT": "-1",
}
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
_ROUTE = re.compile(r"<ResourceRoute \[(\w+)\] <\w+ +(\S+?)>? ->")
_COUNT = re.compile(r"Registered (\d+) routes")


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without the variables that name clusters and stores."""
    hidden = ("RAY_", "MLFLOW_", "RNNLANE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "RAY_USAGE_STATS_ENABLED": "0", **extra}


@dataclass
class Head:
    """A running head; ``address`` is its dashboard's."""

    process: subprocess.Popen
    folder: Path
    token: str
    address: str
    gcs: str
    agent: str

    @property
    def with_token(self) -> dict[str, str]:
        """Variables of a process that has the token."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}

    @property
    def logs(self) -> Path:
        return self.folder / "ray" / "session_latest" / "logs"

    def get(self, path: str, **options) -> requests.Response:
        """Asks the dashboard, with the token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(self.address + path, headers=headers, timeout=30, **options)

    def routes(self, log: str) -> list[tuple[str, str]]:
        """Method and path of each route that a dashboard process says it serves."""
        text = (self.logs / log).read_text()
        found = _ROUTE.findall(text)
        # Fails if the format of the log has changed.
        assert len(found) == int(_COUNT.findall(text)[-1]) > 0
        return found

    def processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def stop(self) -> None:
        doomed = self.processes() if self.process.poll() is None else []
        if doomed:
            self.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(doomed, timeout=20)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_head(*, is_guarded: bool = True, **environment: str) -> Head:
    """Starts a head with two CPUs and waits until it takes jobs."""
    # Ray puts sockets below it, whose paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="rg-"))
    gcs, dashboard, agent, client = free_ports(4)
    token = uuid.uuid4().hex
    (folder / "token").write_text(token)
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    if not is_guarded:
        settings = {"RAY_AUTH_MODE": "disabled"}
    settings |= WITHOUT_METRICS | {"RAY_raylet_start_wait_time_s": "180"}
    command = [*RAY, "start", "--head", "--block", "--num-cpus=2", f"--port={gcs}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    command += [f"--temp-dir={folder / 'ray'}", "--object-store-memory=200000000"]
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=clean_environment(**settings, RNNLANE_HOME=str(folder / "home"), **environment),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    base = "http://127.0.0.1"
    head = Head(
        process, folder, token, f"{base}:{dashboard}", f"127.0.0.1:{gcs}", f"{base}:{agent}"
    )
    try:
        _wait_for_jobs(head)
    except BaseException:
        head.stop()
        raise
    return head


def _wait_for_jobs(head: Head) -> None:
    """Waits until the agent that starts jobs is running."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert head.process.poll() is None, (head.folder / "head.log").read_text()
        log = head.logs / "dashboard_agent.log"
        started = "Ray runtime started" in (head.folder / "head.log").read_text()
        if started and log.exists() and _COUNT.search(log.read_text()):
            return
        time.sleep(0.2)
    raise AssertionError("the head does not take jobs after 180 s")
