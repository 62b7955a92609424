"""A cluster on several hosts, as a team would have it: Ray with tokens, MLflow, shared storage."""

import io
import os
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from support.hosts import Host, Hosts

TESTS = Path(__file__).parents[1]
WORKERS = ("worker1", "worker2")
HOSTS = ("head", "client", *WORKERS)
RAY_PORT = 6379
DASHBOARD_PORT = 8265
MLFLOW_PORT = 5000
# Mounts an empty folder over its first argument, for this host alone.
HIDE = 'mount -t tmpfs none "$1" && shift && '
# What keeps a worker's Ray running, as systemd's Restart=always does.
SUPERVISOR = 'while true; do "$@"; echo "ray ended with $?; starting it again"; sleep 1; done'
RAY = (sys.executable, "-m", "ray.scripts.scripts")
RNNLANE = (sys.executable, "-m", "rnnlane")


class HostCluster:
    """``head`` with Ray's head and MLflow, ``worker*`` with a CPU each, ``client`` with nothing.

    The head declares no CPUs: what trains, trains on the workers. It has the archive of reviews
    (RNNLANE_IMDB), which the workers do not.
    """

    def __init__(self, hosts: Hosts):
        self.folder = hosts.folder
        self.head, self.client = hosts["head"], hosts["client"]
        self.workers = [hosts[name] for name in WORKERS]
        # On every host, as over NFS.
        self.home = self.folder / "shared" / "home"
        self._archives = self.folder / "archives"
        self._archives.mkdir()
        write_reviews(self._archives / "reviews.tar.gz", num_reviews=400)
        self._token = self.folder / "token"
        self._token.touch(mode=0o600)
        self._token.write_text(secrets.token_hex(32))

    @property
    def dashboard(self) -> str:
        return f"http://{self.head.address}:{DASHBOARD_PORT}"

    @property
    def mlflow_uri(self) -> str:
        return f"http://{self.head.address}:{MLFLOW_PORT}"

    @property
    def store(self) -> str:
        """What the MLflow server writes to, for a look that needs no network."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def token_environment(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token)}

    def ray_environment(self) -> dict[str, str]:
        """What Ray's processes on a host, and so workers and drivers, start with."""
        return {
            **self.token_environment,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RNNLANE_HOME": str(self.home),
            # Some tests' workers write down what they do.
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
        }

    def start(self) -> None:
        self.start_mlflow()
        self.start_head()
        for worker in self.workers:
            self.start_worker(worker)
        self.wait_for_mlflow()
        self.wait_for_nodes(1 + len(self.workers))

    def start_head(self) -> None:
        """Without ``--block``, which would end the node with its dashboard."""
        command = [*RAY, "start", "--head", f"--port={RAY_PORT}", "--num-cpus=0"]
        command += [f"--dashboard-host={self.head.address}", f"--dashboard-port={DASHBOARD_PORT}"]
        command += self._node_options(self.head)
        archive = str(self._archives / "reviews.tar.gz")
        started = self.head.run(*command, **self.ray_environment(), RNNLANE_IMDB=archive)
        assert started.returncode == 0, started.stderr + started.stdout

    def start_worker(self, worker: Host) -> None:
        hidden = str(self._archives)
        command = ["sh", "-c", HIDE + SUPERVISOR, "supervisor", hidden, *RAY, "start", "--block"]
        command += [f"--address={self.head.address}:{RAY_PORT}", "--num-cpus=1"]
        command += self._node_options(worker)
        worker.start(*command, log=worker.folder / "ray.log", **self.ray_environment())

    def _node_options(self, host: Host) -> list[str]:
        return [
            f"--node-ip-address={host.address}",
            f"--temp-dir={host.folder / 'ray'}",
            "--object-store-memory=200000000",
            "--disable-usage-stats",
        ]

    def start_mlflow(self) -> None:
        address = f"{self.head.address}:{MLFLOW_PORT}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", self.head.address]
        command += ["--port", str(MLFLOW_PORT), "--workers", "1", "--allowed-hosts", address]
        command += ["--backend-store-uri", self.store]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        self.head.start(
            *command,
            log=self.head.folder / "mlflow.log",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        )

    def wait_for_mlflow(self, timeout_s: float = 90) -> None:
        probe = f"import urllib.request as u; u.urlopen('{self.mlflow_uri}/health', timeout=5)"
        self._wait(self.client, probe, timeout_s=timeout_s, what="MLflow")

    def kill_mlflow(self) -> None:
        self.head.kill("mlflow")

    def kill_dashboard(self) -> Callable[[], None]:
        """``kill -9`` of the head's dashboard; what is returned starts it again."""
        found = self.head.processes("dashboard/dashboard.py")
        assert len(found) == 1
        command, environment = found[0].cmdline(), found[0].environ()
        assert self.head.kill("dashboard/dashboard.py") == 1

        def start_again() -> None:
            self.head.start(*command, log=self.head.folder / "dashboard.log", **environment)

        return start_again

    def wait_for_nodes(self, count: int, timeout_s: float = 120) -> None:
        """Waits until so many nodes live, as the control store knows it."""
        address = f"{self.head.address}:{RAY_PORT}"
        probe = (
            "from ray._raylet import GcsClient; "
            f"nodes = GcsClient(address='{address}').get_all_node_info().values(); "
            f"assert sum(node.state == 0 for node in nodes) == {count}, nodes"
        )
        self._wait(self.head, probe, timeout_s=timeout_s, what=f"{count} nodes")

    def _wait(self, host: Host, probe: str, *, timeout_s: float, what: str) -> None:
        end = time.monotonic() + timeout_s
        while True:
            done = host.run(sys.executable, "-c", probe, **self.token_environment)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, f"waited in vain for {what}: {done.stderr}"
            time.sleep(0.5)

    def kill_node(self, worker: Host) -> None:
        """``kill -9`` of a worker's raylet and all it runs; its supervisor lives."""
        words = ("raylet", "ray::", "default_worker.py", "ray/dashboard/agent.py")
        assert worker.kill(*words) > 0

    def rnnlane(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess:
        """Runs the command on the client to its end."""
        return self.client.run(*RNNLANE, *arguments, timeout_s=timeout_s, **self.client_environment)

    @property
    def client_environment(self) -> dict[str, str]:
        return {
            **self.token_environment,
            "RAY_ADDRESS": self.dashboard,
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
        }


def write_reviews(file: Path, *, num_reviews: int) -> None:
    """An archive like that of the IMDB reviews, with so many in each of its four folders."""
    with tarfile.open(file, "w:gz") as archive:
        for folder in ("train/neg", "train/pos", "test/neg", "test/pos"):
            word = "dull" if folder.endswith("neg") else "fine"
            for number in range(num_reviews):
                content = f"film {number} of {folder} is {word}".encode()
                member = tarfile.TarInfo(f"aclImdb/{folder}/{number}_1.txt")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
