"""Two Ray nodes on one machine, both on loopback, with a token."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

import processes

_OBJECT_STORE_BYTES = 400_000_000
_ALIVE = "ALIVE"


@dataclass(frozen=True)
class RayNodes:
    """A head and a second node.

    Attributes:
        folder: for logs and the token.
        temporary: for Ray's own folders; short, since sockets there have 107 characters at most.
        port: of the dashboard and the Jobs API; the next four are Ray's too.
        cpus: that each node offers; logical, so they may be more than there are.
        token: file with what every call must bring.
        environment: what jobs find on the nodes.
    """

    folder: Path
    temporary: Path
    port: int
    cpus: int
    token: Path
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """The address for jobs."""
        return f"http://127.0.0.1:{self.port}"

    def start_head(self, mark: str) -> processes.Service:
        """Starts the head and waits until it accepts jobs.

        Raises:
            JobError: it does not start.
        """
        log = self.folder / "ray-head.log"
        ports = {
            "--dashboard-port": self.port,
            "--port": self.port + 1,
            "--ray-client-server-port": self.port + 2,
            "--dashboard-agent-listen-port": self.port + 3,
        }
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head"]
        command += ["--dashboard-host=127.0.0.1", f"--temp-dir={self.temporary / '1'}"]
        return self._start("the Ray head", command, ports, log=log, mark=mark, num_alive=1)

    def start_second(self, mark: str) -> processes.Service:
        """Starts the second node and waits until the head knows it.

        Raises:
            JobError: it does not start.
        """
        log = self.folder / "ray-second.log"
        ports = {"--dashboard-agent-listen-port": self.port + 4}
        command = [sys.executable, str(Path(__file__).with_name("second_node.py")), "start"]
        # Not the head's, which is the default: each node replaces a job's code when it first needs
        # it, and would do so while the other node's processes use it.
        command += [f"--address=127.0.0.1:{self.port + 1}", f"--temp-dir={self.temporary / '2'}"]
        return self._start("the second Ray node", command, ports, log=log, mark=mark, num_alive=2)

    def _start(
        self,
        name: str,
        command: list[str],
        ports: Mapping[str, int],
        *,
        log: Path,
        mark: str,
        num_alive: int,
    ) -> processes.Service:
        command += ["--block", "--node-ip-address=127.0.0.1", "--disable-usage-stats"]
        command += [f"--num-cpus={self.cpus}", f"--object-store-memory={_OBJECT_STORE_BYTES}"]
        command += [f"{option}={port}" for option, port in ports.items()]
        environment = processes.inherited(
            **{processes.MARK: mark},
            **self.environment,
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN_PATH=str(self.token),
            # The only setting that keeps Ray's control store, nodes and metrics on loopback,
            # although its name is about other systems.
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
            # Free ports; by default they are fixed, and the next Ray on the machine gets none.
            DASHBOARD_METRIC_PORT="0",
            AUTOSCALER_METRIC_PORT="0",
        )
        service = processes.start(name, command, environment=environment, log=log)
        try:
            processes.wait_until(service, lambda: self.num_alive() >= num_alive, log=log)
        except BaseException:
            processes.end(service)
            raise
        return service

    def num_alive(self) -> int:
        """Number of live nodes that the head knows; 0 if it does not answer."""
        try:
            answer = requests.get(
                f"{self.url}/api/v0/nodes",
                headers={"Authorization": f"Bearer {self.token.read_text().strip()}"},
                timeout=10,
            )
            nodes = answer.json()["data"]["result"]["result"] if answer.ok else []
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return 0
        return sum(node["state"] == _ALIVE for node in nodes)
