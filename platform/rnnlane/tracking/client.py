"""Opens MLflow stores, and distinguishes an unreachable store from a refused request."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from rnnlane.errors import RnnlaneError, TrackingError, disk_error, is_disk_full, redact
from rnnlane.tracking.credentials import FILE_VARIABLE, use_credentials_file
from rnnlane.tracking.internals import DATABASE_LOGGER, OLD_SCHEMA_MESSAGE
from rnnlane.tracking.uris import sqlite_file, sqlite_uri, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_TIMEOUT_S = 5.0
MIGRATION_TIMEOUT_S = 120.0

_PROCESS_SETTINGS = {
    # MLflow's own defaults (7 retries of up to 120 s each) block for many minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow would print an address, with its password, to stdout, where a command prints JSON.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LOG_LEVELS = {
    "mlflow": logging.ERROR,
    # Logs a traceback for each database error, although it raises the error too.
    DATABASE_LOGGER: logging.CRITICAL,
    "alembic": logging.WARNING,
    "urllib3.connectionpool": logging.ERROR,
}
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
# urllib3 wraps a reason: ... (Caused by SomeError("HTTPConnection(host=...): what happened"))
_CAUSE = re.compile(r"Caused by \w+\([\"'](?:\w+\(.*?\): )?(.+?)[\"']\)+$")
_OLDEST_SERVER = 3
_MAX_VERSION_BYTES = 64
_RETRY_STATUSES = {401, 403, 408, 429, 499}


def open_client(uri: str) -> MlflowClient:
    """A client of a store, which has answered a first request.

    Creates a SQLite store's folder and tables. The first call of a process imports MLflow (2-3 s);
    the first on a fresh SQLite file also runs MLflow's migrations (about 2 s).

    Raises:
        TrackingError: the store does not answer within ``PROBE_TIMEOUT_S`` or so, refuses the
            credentials, or has the tables of another MLflow version.
    """
    _prepare_process()
    with store_errors(uri, "cannot open the MLflow store"):
        from mlflow import MlflowClient

        database = sqlite_file(uri)
        if database is None:
            _probe(uri)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
            return client
        database.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that migrate a fresh file at the same time break it.
        with FileLock(f"{database}.lock", timeout=MIGRATION_TIMEOUT_S):
            if not database.exists():
                _create_database(database)
            _check_database(database)
            return MlflowClient(tracking_uri=uri)


def _create_database(database: Path) -> None:
    """Makes a SQLite store at once or not at all.

    MLflow cannot continue migrations that were interrupted, by a full disk for example.
    """
    from mlflow import MlflowClient

    draft = database.with_name(f"{database.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        MlflowClient(tracking_uri=sqlite_uri(draft))
        draft.replace(database)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _check_database(database: Path) -> None:
    """Opens a SQLite file. MLflow would retry for 100 s what cannot be opened."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


def experiment_id(client: MlflowClient, *, uri: str, name: str) -> str:
    """The id of MLflow's experiment ``name``, which is created if it is missing.

    The artifacts of a new experiment in a SQLite store go to ``mlartifacts`` beside the file.

    Raises:
        TrackingError: the store cannot be read or written, or the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    with store_errors(uri, f"cannot open MLflow's experiment {name!r}"):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return client.create_experiment(name, artifact_location=_artifact_location(uri))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment must be active, but {name!r} was deleted",
            where=redact(uri),
            remedy="`mlflow experiments restore` it, or set tracking.mlflow_experiment",
        )
    return str(experiment.experiment_id)


@contextmanager
def store_errors(uri: str, failed: str) -> Iterator[None]:
    """Turns whatever MLflow and its drivers raise into a TrackingError.

    A full disk under a SQLite store becomes a ResourceError.

    Args:
        uri: the store; shown redacted.
        failed: what could not be done, such as ``cannot list the runs``.
    """
    try:
        yield
    except RnnlaneError:
        raise
    except Exception as error:
        database = sqlite_file(uri)
        if database is not None and is_disk_full(error):
            raise disk_error(error, database) from None
        raise TrackingError(
            f"{failed}: {one_line(error)}", where=redact(uri), remedy=_remedy(uri, error)
        ) from None


def is_away(error: Exception) -> bool:
    """Whether the same request may succeed later.

    True if the store is unreachable, overloaded, broken or refuses the credentials, which a person
    can correct. False if it understood the request and rejected it, and if a file is missing.
    """
    status = _http_status(error)
    if status is not None:
        return status >= 500 or status in _RETRY_STATUSES
    return not isinstance(error, FileNotFoundError | NotADirectoryError | ValueError | TypeError)


def one_line(error: Exception) -> str:
    """The innermost reason of an error, redacted and short enough for a log line."""
    text = " ".join(str(error).split()) or type(error).__name__
    cause = _CAUSE.search(text)
    reason = cause.group(1) if cause else text
    return redact(reason if len(reason) <= 300 else f"{reason[:297]}...")


def _prepare_process() -> None:
    for name, value in _PROCESS_SETTINGS.items():
        os.environ.setdefault(name, value)
    use_credentials_file()
    import mlflow  # noqa: F401  (its import resets the log levels)

    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)


def _probe(uri: str) -> None:
    """Fails within seconds; MLflow itself would retry for minutes."""
    import requests

    address = urlsplit(uri)
    database_port = _DATABASE_PORTS.get(address.scheme.partition("+")[0])
    if address.scheme in {"http", "https"}:
        # Any answer will do: a proxy may guard it, and only the client sends the credentials.
        address_of_version = f"{without_secrets(uri)}/version"
        with requests.get(
            address_of_version, timeout=PROBE_TIMEOUT_S, verify=_verify_tls(), stream=True
        ) as response:
            _check_version(uri, response.raw.read(_MAX_VERSION_BYTES))
    elif database_port is not None and address.hostname:
        where = (address.hostname, address.port or database_port)
        socket.create_connection(where, timeout=PROBE_TIMEOUT_S).close()


def _check_version(uri: str, answer: bytes) -> None:
    """Refuses a server that says to be older than MLflow 3, which lacks what runs need."""
    version = re.fullmatch(rb"(\d+)\.\d+[\w.+-]*", answer.strip())
    if version is not None and int(version[1]) < _OLDEST_SERVER:
        raise TrackingError(
            f"an MLflow server must be of version {_OLDEST_SERVER} or newer, "
            f"but this one is {version[0].decode()}",
            where=redact(uri),
            remedy="upgrade it; `mlflow db upgrade` brings its database along",
        )


def _verify_tls() -> bool | str:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}:
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def _artifact_location(uri: str) -> str | None:
    database = sqlite_file(uri)
    return None if database is None else (database.parent / "mlartifacts").as_uri()


def _http_status(error: Exception) -> int | None:
    """The status that a server answered, or would have; None for errors of another kind."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
    if isinstance(error, requests.RequestException):
        return 503 if error.response is None else error.response.status_code
    return None


def _remedy(uri: str, error: Exception) -> str:
    if OLD_SCHEMA_MESSAGE in str(error):
        return f"back the database up, then run `mlflow db upgrade {redact(uri)}`"
    if sqlite_file(uri) is not None:
        return "check that the folder exists, is writable and not full"
    status = _http_status(error) or 503
    if status == 401:
        return (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or set "
            f"{FILE_VARIABLE} to a file that has them"
        )
    if status < 500:
        return "check the address, the account's rights and the server's --allowed-hosts"
    return "check the address, and that the server runs"
