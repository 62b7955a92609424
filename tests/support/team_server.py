"""An MLflow server with accounts on PostgreSQL, as cluster/local starts it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

import psycopg2
import pytest

import postgres
import processes
from mlflow_server import WRITER, MlflowServer
from rnnlane.errors import ResourceError


class TeamServer:
    """Server and database in a folder of their own, on free ports; the server can be killed."""

    def __init__(self) -> None:
        # Not pytest's folder: the account of PostgreSQL must be able to enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="rnnlane-team-"))
        self.folder.chmod(0o711)
        self.mark = uuid.uuid4().hex
        password = secrets.token_hex(16)
        self.database = postgres.Postgres(self.folder, free_port(), password)
        reason = postgres.why_not(self.folder)
        if reason is not None:
            shutil.rmtree(self.folder)
            pytest.skip(f"no PostgreSQL: {reason}")
        try:
            self._database_service = self.database.start(self.mark)
            self.server = MlflowServer(self.folder / "mlflow", free_port(), self.database.uri)
            self._service = self.server.start(self.mark)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self.server.url

    def environment(self, account: str = WRITER) -> dict[str, str]:
        """The variables with which a process logs in."""
        username, password = self.server.account(account)
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": username,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def query(self, sql: str) -> list[tuple]:
        """Asks the database directly, without MLflow."""
        connection = psycopg2.connect(self.database.uri.replace("+psycopg2", ""))
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def kill(self) -> None:
        """Kills the server and all its workers, as ``kill -9`` does."""
        process = self._service.process()
        assert process is not None
        processes.end_for_good([process, *process.children(recursive=True)])

    def start_again(self) -> None:
        self._service = self.server.start(self.mark)

    def close(self) -> None:
        for name in ("_service", "_database_service"):
            if hasattr(self, name):
                processes.end(getattr(self, name))
        processes.end_for_good(processes.marked(self.mark))
        shutil.rmtree(self.folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of ``count`` free ports in a row, below the range for clients."""
    for first in range(21_000, 32_000, count):
        try:
            processes.refuse_taken_ports({str(port): port for port in range(first, first + count)})
        except ResourceError:
            continue
        return first
    raise AssertionError("no free ports")


def log_in(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Makes this process log in with the variables of an account."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
