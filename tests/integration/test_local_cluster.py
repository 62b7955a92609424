"""cluster/local, from its first `up` to its last `down`, as its README tells it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

import processes
from support.command import write_experiment
from support.team_server import free_ports

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.release]


class LocalCluster:
    """The scripts on a folder and ports of their own."""

    def __init__(self) -> None:
        # Not pytest's: PostgreSQL's own account must come through.
        self.folder = Path(tempfile.mkdtemp(prefix="rnnlane-local-"))
        self.folder.chmod(0o711)
        self.port = free_ports(7)
        self.marks: set[str] = set()

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ports = ["--port", str(self.port)] if script == "up" else []
        done = subprocess.run(
            [ROOT / "cluster" / "local" / script, "--folder", self.folder, *ports, *arguments],
            check=False,
            # The scripts take this Python where the checkout has no .venv.
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=500,
        )
        if self.record.exists():
            self.marks.add(json.loads(self.record.read_text())["mark"])
        return done

    @property
    def record(self) -> Path:
        return self.folder / "running.json"

    def processes(self) -> list[psutil.Process]:
        return [process for mark in self.marks for process in processes.marked(mark)]

    def environment(self) -> dict[str, str]:
        """What a shell has that sourced the file."""
        script = f'source "{self.folder / "env"}" && env -0'
        found = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
        return dict(line.split("=", 1) for line in found.stdout.split("\0") if line)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    cluster = LocalCluster()
    up = cluster.run("up")
    try:
        assert up.returncode == 0, up.stderr
        yield cluster
    finally:
        cluster.run("down")
        shutil.rmtree(cluster.folder)


def rnnlane(cluster: LocalCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rnnlane", *arguments],
        check=False,
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_all_of_it_listens_on_loopback_and_asks_for_the_token(cluster: LocalCluster) -> None:
    pids = {process.pid for process in cluster.processes()}
    listening = {
        connection.laddr
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN
    }
    assert {cluster.port, cluster.port + 1, cluster.port + 5} <= {addr.port for addr in listening}
    assert {addr.ip.removeprefix("::ffff:") for addr in listening} == {"127.0.0.1"}
    for path in ("/api/version", "/api/jobs/", "/api/v0/nodes"):
        answer = requests.get(f"http://127.0.0.1:{cluster.port}{path}", timeout=30)
        assert answer.status_code == 401, path


def test_a_shell_that_has_sourced_the_file_can_leave_the_cluster(cluster: LocalCluster) -> None:
    script = f'source "{cluster.folder / "env"}" && leave_cluster && env -0 && type leave_cluster'
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    left = {line.partition("=")[0] for line in done.stdout.split("\0")}
    assert not left & {"RAY_ADDRESS", "RAY_AUTH_MODE", "MLFLOW_TRACKING_URI"}


def test_a_second_up_starts_nothing(cluster: LocalCluster) -> None:
    before = cluster.record.read_text()
    again = cluster.run("up")
    assert again.returncode == 0
    assert again.stdout.startswith("it is up already")
    assert cluster.record.read_text() == before


def test_an_experiment_sent_to_it_ends_as_a_run_that_a_reader_may_see(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    file = write_experiment(tmp_path, training={"epochs": 1})
    sent = rnnlane(cluster, "submit", str(file), "--json")
    assert sent.returncode == 0, sent.stderr
    answer = json.loads(sent.stdout)
    assert answer["status"] == "SUCCEEDED"
    (run,) = json.loads(rnnlane(cluster, "runs", "--json").stdout)["runs"]
    assert (run["run_id"], run["status"]) == (answer["run_id"], "FINISHED")

    added = cluster.run("add-reader", "ana", "rnnlane")
    assert added.returncode == 0, added.stderr
    refused = cluster.run("add-reader", "eve", "nowhere")
    assert refused.returncode == 2
    assert "there is no 'nowhere'" in refused.stderr
    accounts = cluster.folder / "mlflow" / "accounts"
    assert sorted(path.stem for path in accounts.glob("*.ini")) == ["admin", "ana", "rnnlane"]

    secrets = [
        line.partition("=")[2].strip()
        for path in accounts.glob("*.ini")
        for line in path.read_text().splitlines()
        if "password" in line
    ]
    secrets += [(cluster.folder / "auth_token").read_text()]
    arguments = [" ".join(process.cmdline()) for process in cluster.processes()]
    assert not [text for text in arguments for secret in secrets if secret in text]


def test_a_cluster_on_taken_ports_is_not_started(cluster: LocalCluster) -> None:
    other = LocalCluster()
    other.port = cluster.port
    try:
        refused = other.run("up")
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"{cluster.port} (Ray dashboard)" in refused.stderr
        assert not other.marks
    finally:
        shutil.rmtree(other.folder)


def test_an_up_that_fails_leaves_nothing_running() -> None:
    broken = LocalCluster()
    try:
        # Ray refuses an empty token, when the database and MLflow are up already.
        (broken.folder / "auth_token").touch()
        failed = broken.run("up")
        assert failed.returncode == 1
        assert "error: " in failed.stderr
        assert "the Ray head ended at once" in failed.stderr
        assert "Traceback" not in failed.stderr.splitlines()[-1][:20]
        assert not broken.record.exists()
        listening = [c.laddr.port for c in psutil.net_connections() if c.status == "LISTEN"]
        assert not set(range(broken.port, broken.port + 7)) & set(listening)
    finally:
        broken.run("down")
        shutil.rmtree(broken.folder)


def test_down_ends_all_of_it_even_where_a_part_has_died(cluster: LocalCluster) -> None:
    running = json.loads(cluster.record.read_text())["services"]
    head = next(service for service in running if "head" in service["name"])
    psutil.Process(head["pid"]).kill()
    said = cluster.run("up")
    assert said.returncode == 1
    assert "the Ray head ended" in said.stderr
    assert cluster.run("down").returncode == 0
    assert cluster.processes() == []
    again = cluster.run("down")
    assert (again.returncode, again.stdout) == (0, "it is down\n")
