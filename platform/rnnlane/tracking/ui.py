"""MLflow's own pages over an embedded store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from rnnlane.errors import TrackingError


def serve_store(uri: str, *, port: int) -> None:
    """Serves the store on loopback until interrupted.

    Raises:
        TrackingError: the port is taken, or the server does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TrackingError(
                f"port {port} cannot be used: {error.strerror}",
                where=f"127.0.0.1:{port}",
                remedy="choose another one with --port",
            ) from None
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # By the environment: the command line of a process is open to every user of the machine.
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    try:
        code = subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return
    if code != 0:
        raise TrackingError(
            f"the MLflow server ended with exit code {code}",
            where=f"127.0.0.1:{port}",
            remedy="`rnnlane doctor` checks the store",
        )
