"""An MLflow server for a team: accounts, artifact proxy, allowed hosts."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import requests

import processes
from rnnlane.errors import ConfigError, TrackingError
from secret_files import kept_account, kept_secret, write_secret

ADMIN = "admin"
WRITER = "rnnlane"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TIMEOUT_S = 60.0
# Without a cache, hashing the password costs more than the request itself. A changed password or
# right takes this long to take effect.
_AUTH_CACHE_S = 30
_WORKER_TIMEOUT_S = 120


@dataclass(frozen=True)
class MlflowServer:
    """One server on loopback.

    Attributes:
        folder: for artifacts, accounts and log.
        store: SQLAlchemy address of the database, of runs and accounts alike; may hold a password.
        num_workers: processes that answer.
    """

    folder: Path
    port: int
    store: str
    num_workers: int = 2

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def accounts(self) -> Path:
        """Folder with one credentials file per account."""
        return self.folder / "accounts"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "mlflow.log"

    def start(self, mark: str) -> processes.Service:
        """Starts the server, waits for it, and creates the account that runs are written with.

        Raises:
            JobError: it does not start.
            TrackingError: it refuses the account.
        """
        (self.folder / "artifacts").mkdir(parents=True, exist_ok=True)
        service = processes.start(
            "the MLflow server",
            [
                *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
                *("--workers", str(self.num_workers), "--serve-artifacts"),
                *("--artifacts-destination", str(self.folder / "artifacts")),
                # By default a worker that is busy for 5 s is killed; on a machine under load all
                # are, for ever, while they import MLflow.
                *("--uvicorn-opts", f"--timeout-worker-healthcheck {_WORKER_TIMEOUT_S}"),
                *("--allowed-hosts", f"127.0.0.1:{self.port},localhost:{self.port}"),
            ],
            environment=self._environment(mark),
            log=self.log,
        )
        try:
            processes.wait_until(service, self._answers, log=self.log)
            self.add_account(WRITER)
        except BaseException:
            processes.end(service)
            raise
        return service

    def _environment(self, mark: str) -> dict[str, str]:
        """Holds all secrets, because every user of the machine can read a process's arguments."""
        settings = self.folder / "auth.ini"
        write_secret(
            settings,
            "[mlflow]\n"
            "default_permission = NO_PERMISSIONS\n"
            f"database_uri = {self.store}\n"
            f"admin_username = {ADMIN}\n"
            f"auth_cache_ttl_seconds = {_AUTH_CACHE_S}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
        )
        _, password = self.account(ADMIN)
        return processes.inherited(
            **{processes.MARK: mark},
            MLFLOW_BACKEND_STORE_URI=self.store,
            MLFLOW_AUTH_CONFIG_PATH=str(settings),
            MLFLOW_AUTH_ADMIN_PASSWORD=password,
            MLFLOW_FLASK_SERVER_SECRET_KEY=kept_secret(self.folder / "flask_key"),
            # Seven processes that evaluate language models.
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
        )

    def account(self, name: str) -> tuple[str, str]:
        """Name and password of an account; the password is generated on first use."""
        return kept_account(self.accounts / f"{name}.ini", name)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def add_account(self, name: str) -> Path:
        """Creates an account with a random password; it sees only what it creates itself.

        Returns:
            Its credentials file; of an account that is there already, as it is.

        Raises:
            TrackingError: the server is away or refuses.
        """
        _, password = self.account(name)
        self._ask(
            "/api/2.0/mlflow/users/create",
            {"username": name, "password": password},
            unless="RESOURCE_ALREADY_EXISTS",
        )
        return self.accounts / f"{name}.ini"

    def add_reader(self, name: str, *, mlflow_experiment: str) -> Path:
        """Creates an account, unless it exists, that may read one of MLflow's experiments.

        Returns:
            Its credentials file.

        Raises:
            ConfigError: there is no such experiment, or the name cannot be one.
            TrackingError: the server is away or refuses.
        """
        if not _NAME.fullmatch(name) or name in {ADMIN, WRITER}:
            raise ConfigError(
                f"a reader's name must be letters, digits, `-`, `_` and not {ADMIN} or {WRITER}, "
                f"but got {name!r}",
                where="name",
                remedy="choose another",
            )
        experiment_id = self._experiment_id(mlflow_experiment)
        file = self.add_account(name)
        self._ask(
            "/api/3.0/mlflow/users/permissions/grant",
            {
                "username": name,
                "resource_type": "experiment",
                "resource_id": experiment_id,
                "permission": "READ",
            },
        )
        return file

    def _experiment_id(self, name: str) -> str:
        found = self._send(
            "GET", "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name}
        )
        if found.status_code == 404:
            raise ConfigError(
                f"the MLflow experiment must exist, but there is no {name!r}",
                where=self.url,
                remedy="the first run under that name makes it",
            )
        return str(self._checked(found).json()["experiment"]["experiment_id"])

    def _ask(self, path: str, body: dict[str, str], *, unless: str = "") -> None:
        """Posts; a response that contains ``unless`` counts as success."""
        answer = self._send("POST", path, json=body)
        if not (unless and unless in answer.text):
            self._checked(answer)

    def _checked(self, answer: requests.Response) -> requests.Response:
        if answer.ok:
            return answer
        reason = " ".join(answer.text.split())[:200]
        raise TrackingError(
            f"the MLflow server answers {answer.status_code}: {reason}",
            where=self.url,
            remedy=f"its log is {self.log}",
        )

    def _send(self, method: str, path: str, **content: dict[str, str]) -> requests.Response:
        try:
            return requests.request(
                method, f"{self.url}{path}", auth=self.account(ADMIN), timeout=_TIMEOUT_S, **content
            )
        except requests.RequestException as error:
            raise TrackingError(
                f"the MLflow server does not answer: {type(error).__name__}",
                where=self.url,
                remedy=f"its log is {self.log}",
            ) from None
