"""An MLflow server with accounts over SQLite, on loopback."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import requests

from support.guarded_head import clean_environment, free_ports


class StoreWithAccounts:
    """A running server; its one account is ``admin``."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.password = uuid.uuid4().hex
        port = free_ports(1)[0]
        self.host = f"127.0.0.1:{port}"
        self.uri = f"http://{self.host}"
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        secrets = {
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": uuid.uuid4().hex,
        }
        with (folder / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                command,
                env=clean_environment(**secrets),
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Waits until the server answers."""
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                requests.get(f"{self.uri}/health", timeout=5).raise_for_status()
            except requests.RequestException:
                time.sleep(0.2)
            else:
                return
        raise AssertionError((self.folder / "server.log").read_text())

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
