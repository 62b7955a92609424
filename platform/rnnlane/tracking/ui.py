"""MLflow's web pages: their addresses, and a server for a store in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from rnnlane.config.tracking import TrackingConfig
from rnnlane.errors import ConfigError, TrackingError, redact
from rnnlane.tracking.client import open_client, store_errors
from rnnlane.tracking.links import is_server, run_link, runs_link
from rnnlane.tracking.store import find_run, is_missing, newest_run
from rnnlane.tracking.uris import without_secrets
from rnnlane.tracking.views import prepare_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient


def page_address(
    uri: str, *, served_at: str, mlflow_experiment: str | None = None, run: str | None = None
) -> str:
    """Address of the page to open; never with credentials.

    Args:
        uri: the store.
        served_at: the server that shows the store, if it is none itself.
        mlflow_experiment: show its runs. None: those of the default experiment, or if there is
            none, of the experiment with the newest run.
        run: show this run instead; see :func:`rnnlane.tracking.store.find_run`.

    Returns:
        The first page of the server if the store has no runs, and if this process may not ask: a
        browser has its own login.

    Raises:
        ConfigError: there is no such experiment or run.
        TrackingError: the store cannot be asked for the run.
    """
    server = without_secrets(uri) if is_server(uri) else served_at
    if run is not None:
        found = find_run(uri, run)
        return run_link(server, found.experiment_id, found.run_id) or server
    if is_missing(uri):
        return server
    try:
        client = open_client(uri)
        with store_errors(uri, "cannot look for MLflow's experiment"):
            return _runs_page(client, uri, server=server, name=mlflow_experiment)
    except TrackingError:
        return server


def _runs_page(client: MlflowClient, uri: str, *, server: str, name: str | None) -> str:
    experiment = client.get_experiment_by_name(name or TrackingConfig().mlflow_experiment)
    if experiment is None and name is not None:
        raise ConfigError(
            f"the MLflow experiment must exist, but there is no {name!r}",
            where=redact(uri),
            remedy="name one that has runs, or none to see the newest",
        )
    shown = None if experiment is None else experiment.experiment_id
    newest = newest_run(client, experiment=shown)
    if newest is not None:
        view = prepare_experiment(client, newest.experiment_id)
        return runs_link(server, newest.experiment_id, view=view) or server
    # An experiment of other tools keeps its look.
    return server if shown is None else runs_link(server, shown) or server


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
    # A line for each request of a page would scroll the address out of sight.
    command += ["--uvicorn-opts", "--log-level warning"]
    # In the environment: every user of the machine can read the command line of a process.
    # Without its job runner: seven processes that no page needs, and that outlive a killed server.
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
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
