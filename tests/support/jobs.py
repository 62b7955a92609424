"""A real Ray head with a token, an MLflow server with accounts, and a link that can be cut."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import psutil

from support.command import wait_until
from support.ports import free_ports


class RayHead:
    """A head with two CPUs on loopback; every call needs the token."""

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self.token = folder / "token"
        self.token.write_text(secrets.token_hex(32))
        self.home = folder / "cluster-home"
        # Short: Ray puts sockets there, whose paths may have 107 characters.
        self.temporary = Path(tempfile.mkdtemp(prefix="rnl-"))
        gcs, self.port, agent, client = free_ports(4)
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head"]
        command += [f"--port={gcs}", f"--dashboard-port={self.port}", "--num-cpus=2"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
        command += ["--dashboard-host=127.0.0.1", f"--temp-dir={self.temporary}"]
        command += ["--disable-usage-stats", f"--object-store-memory={200 << 20}"]
        hidden = {"PYTHONPATH", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"}
        own = {key: value for key, value in os.environ.items() if key not in hidden}
        own |= {
            **self.token_environment(),
            # As with an activated environment: jobs call `python`.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RNNLANE_HOME": str(self.home),
            **environment,
        }
        # Not --block, which ends the head when its Ray Client server is slow to start.
        with (folder / "head.log").open("w") as log:
            self._process = subprocess.Popen(
                command, env=own, stdout=log, stderr=log, start_new_session=True
            )

    def token_environment(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}

    def get(self, path: str) -> str:
        """The dashboard's answer to a request with the token."""
        request = urllib.request.Request(self.address + path)
        request.add_header("Authorization", f"Bearer {self.token.read_text()}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def wait(self) -> None:
        def answers() -> bool:
            assert not self._process.poll(), (self.folder / "head.log").read_text()
            with contextlib.suppress(OSError):
                return "ALIVE" in self.get("/nodes?view=summary") and bool(self.get("/api/jobs/"))
            return False

        wait_until(answers, what="the head")

    def stop(self) -> None:
        """Ends the processes of this head only, and removes its folder."""
        self._process.kill()
        self._process.wait()
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.temporary) in " ".join(process.cmdline()):
                    mine += [process, *process.children(recursive=True)]
        for process in mine:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(mine, timeout=30)
        shutil.rmtree(self.temporary, ignore_errors=True)


class AccountServer:
    """An MLflow server that refuses requests without an account."""

    def __init__(self, folder: Path):
        self.password = secrets.token_urlsafe(16)
        (port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{port}"
        self.credentials = folder / "account.ini"
        self.credentials.touch(mode=0o600)
        self.credentials.write_text(
            f"[mlflow]\nmlflow_tracking_username = admin\n"
            f"mlflow_tracking_password = {self.password}\n"
        )
        settings = folder / "auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = admin\n"
            # Without it a password is hashed at each request, which costs more than the request.
            "auth_cache_ttl_seconds = 30\n"
            f"database_uri = sqlite:///{folder / 'accounts.db'}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        environment = {
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'server.db'}",
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (folder / "mlflow.log").open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        def answers() -> bool:
            assert self._process.poll() is None
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return True
            return False

        wait_until(answers, what="the MLflow server")

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Link:
    """A TCP link to a port of this machine, which can be cut and restored."""

    def __init__(self, to_port: int):
        (self.port,) = free_ports(1)
        self._to_port = to_port
        self._open: list[socket.socket] = []
        self.restore()

    def restore(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection, and accepts no new one."""
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
