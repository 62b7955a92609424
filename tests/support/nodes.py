"""A Ray cluster of several nodes on this host, whose nodes can be killed and added."""

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from support.command import kill_everything, wait_until
from support.ports import free_ports


class RayNodes:
    """A head and other nodes, each with its own processes and one CPU unless stated otherwise.

    Attributes:
        address: for RAY_ADDRESS.
        environment: what a driver needs to connect.
    """

    def __init__(self, folder: Path):
        # Ray's sockets lie below its folder, and their paths must be short.
        self._folder = Path(f"/tmp/rnnlane-{secrets.token_hex(3)}")
        self._folder.mkdir(mode=0o700)
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self._shared = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            # Ray notices a dead node within seconds, by default after most of a minute.
            "RAY_health_check_period_ms": "2000",
            "RAY_health_check_failure_threshold": "3",
        }
        self._log = folder / "ray.log"
        (self._port,) = free_ports(1)
        self._nodes: list[subprocess.Popen] = []
        self.address = f"127.0.0.1:{self._port}"
        self.environment = {**self._shared, "RAY_ADDRESS": self.address}

    def start_head(self, *, num_cpus: int = 1, **environment: str) -> None:
        """Starts the first node; ``environment`` is added to that of its workers."""
        dashboard, client = free_ports(2)
        self._start(
            "--head",
            f"--port={self._port}",
            f"--temp-dir={self._folder}",
            "--include-dashboard=true",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            f"--ray-client-server-port={client}",
            f"--num-cpus={num_cpus}",
            **environment,
        )

    def add(
        self, *, hidden: Path | None = None, host_name: str | None = None, **environment: str
    ) -> subprocess.Popen:
        """Starts a node; ``environment`` is added to that of its workers.

        On the node the ``hidden`` folder is empty, or its machine has another name; both need root.
        """
        return self._start(
            f"--address={self.address}",
            "--num-cpus=1",
            hidden=hidden,
            host_name=host_name,
            **environment,
        )

    def _start(
        self,
        *options: str,
        hidden: Path | None = None,
        host_name: str | None = None,
        **environment: str,
    ) -> subprocess.Popen:
        hide = 'mount -t tmpfs none "$0" && exec "$@"'
        rename = 'hostname "$0" && exec "$@"'
        command = [
            *(["unshare", "--mount", "sh", "-c", hide, str(hidden)] if hidden else []),
            *(["unshare", "--uts", "sh", "-c", rename, host_name] if host_name else []),
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *("--num-gpus=0", "--node-ip-address=127.0.0.1"),
            *("--object-store-memory=100000000", "--disable-usage-stats"),
            *options,
        ]
        before = self.alive()
        for _ in range(3):
            with self._log.open("a") as log:
                node = subprocess.Popen(
                    command,
                    env={**os.environ, **self._shared, **environment},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._nodes.append(node)
            wait_until(
                lambda node=node: node.poll() is not None or self.alive() - before,
                what=f"a node: {self._log}",
            )
            if node.poll() is None:
                return node
            # On a busy machine starting a node may time out.
        raise AssertionError(self._log.read_text())

    def alive(self) -> set[str]:
        """Ids of the nodes that Ray considers alive; a dead one is among them for some seconds."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)) != 0:
                return set()
        code = (
            "from ray._raylet import GcsClient; "
            f"nodes = GcsClient(address='{self.address}').get_all_node_info(timeout=5); "
            "print(*(key.hex() for key, node in nodes.items() if node.state == 0))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **self._shared},
            capture_output=True,
            text=True,
            check=False,
        )
        return set(done.stdout.split()) if done.returncode == 0 else set()

    def kill(self, node: subprocess.Popen) -> None:
        """``kill -9`` of all processes of a node, as a power cut would."""
        self._nodes.remove(node)
        if node.poll() is None:
            kill_everything(node)

    def stop(self) -> None:
        for node in reversed(list(self._nodes)):
            self.kill(node)
        subprocess.run(["rm", "-rf", str(self._folder)], check=False)
