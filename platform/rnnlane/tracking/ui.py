"""MLflow's web pages: their addresses, and a server for a store in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

from rnnlane.errors import TrackingError
from rnnlane.tracking.client import open_client, store_errors
from rnnlane.tracking.uris import without_secrets


def experiment_page(uri: str, mlflow_experiment: str) -> str:
    """Address of the page of an experiment's runs on a server; never with credentials.

    It is the server's first page if there is no such experiment, and if this process may not ask:
    a browser has its own login.
    """
    page = without_secrets(uri)
    try:
        client = open_client(uri)
        with store_errors(uri, f"cannot look for MLflow's experiment {mlflow_experiment!r}"):
            experiment = client.get_experiment_by_name(mlflow_experiment)
    except TrackingError:
        experiment = None
    if experiment is None:
        return page
    # Without the type MLflow 3 shows the experiment as one of language models.
    return f"{page}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"


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
    # In the environment: every user of the machine can read the command line of a process.
    # Without its job runner: seven processes that no page needs, and that outlive a killed server.
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            return
        finally:
            # The whole group: a child of the server holds the port, and would stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
    if code != 0:
        raise TrackingError(
            f"the MLflow server ended with exit code {code}",
            where=f"127.0.0.1:{port}",
            remedy="`rnnlane doctor` checks the store",
        )
