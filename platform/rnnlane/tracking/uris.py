"""Addresses of MLflow stores."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

from rnnlane.config.paths import home
from rnnlane.errors import USER_INFO, ConfigError, redact

# What MLflow opens and runs can be logged to by several processes at once.
_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
# What SQLAlchemy quotes in the path of an address, or not, depending on its version.
_ODD = set("%?")
_REMEDY = (
    "use sqlite:///path/to/mlflow.db for a file, or the http(s):// address of an MLflow server"
)


def resolve_uri(configured: str | None) -> str:
    """The store to use: ``configured``, else ``MLFLOW_TRACKING_URI``, else a SQLite file.

    The default file is ``mlflow.db`` in rnnlane's home; it is not created here.

    Raises:
        ConfigError: the address is neither a database nor a server, or a SQLite address
            without a file.
    """
    default = sqlite_uri(home() / "mlflow.db")
    if configured:
        uri, where = configured, "tracking.uri"
    else:
        uri, where = os.environ.get("MLFLOW_TRACKING_URI") or default, "MLFLOW_TRACKING_URI"
    scheme = uri.partition(":")[0] if ":" in uri else ""
    if uri != "databricks" and not _is_known(scheme.partition("+")[0]):
        raise ConfigError(
            f"an MLflow store must be a database or a server, but got {redact(uri)!r}",
            where=where,
            remedy=_REMEDY,
        )
    if scheme == "sqlite" and sqlite_file(uri) is None:
        raise ConfigError(
            f"a SQLite store must name a file, but got {redact(uri)!r}",
            where=where,
            remedy=_REMEDY,
        )
    return uri


def _is_known(scheme: str) -> bool:
    """Whether MLflow or one of its installed plugins opens stores of this kind."""
    plugins = (plugin.name for plugin in entry_points(group="mlflow.tracking_store"))
    return scheme in _SCHEMES or scheme in plugins


def sqlite_uri(file: Path) -> str:
    """The ``sqlite:///`` address of a database file, whatever its name is."""
    path = str(file.absolute())
    if not _ODD & set(path):
        return f"sqlite:///{path}"
    from sqlalchemy import URL

    # With the driver's name: of `sqlite:///` MLflow makes the folder as it is quoted.
    return URL.create("sqlite+pysqlite", database=path).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """Absolute path of the database file of a ``sqlite:///`` address; None for any other."""
    scheme, _, rest = uri.partition("://")
    path = rest.partition("?")[0].removeprefix("/")
    if scheme.partition("+")[0] != "sqlite" or path in {"", ":memory:"}:
        return None
    if "%" in path:
        from sqlalchemy import make_url

        path = make_url(uri).database or ""
    return Path(path).absolute()


def store_identity(uri: str) -> str:
    """Identifies a store whatever the credentials and the working directory are."""
    return str(sqlite_file(uri) or redact(uri))


def without_secrets(uri: str) -> str:
    """The address of a server for a browser: no user, no password, no query."""
    return USER_INFO.sub("", uri).partition("?")[0].rstrip("/")
