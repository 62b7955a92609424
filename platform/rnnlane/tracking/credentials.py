"""The account for an MLflow server, passed on as the path of a file, never as its content."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from rnnlane.errors import ConfigError

FILE_VARIABLE = "RNNLANE_CREDENTIALS_FILE"
_VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def use_credentials_file() -> None:
    """Sets MLflow's variables from the file that RNNLANE_CREDENTIALS_FILE names.

    The file has the format of MLflow's own ``~/.mlflow/credentials``: a section ``[mlflow]`` with
    ``mlflow_tracking_username`` and ``mlflow_tracking_password``. As with that file, variables that
    are set already take precedence.

    Raises:
        ConfigError: the file cannot be read or lacks one of the two.
    """
    name = os.environ.get(FILE_VARIABLE)
    if not name or all(os.environ.get(variable) for variable in _VARIABLES):
        return
    for variable, value in _read(name).items():
        os.environ.setdefault(variable, value)


def _read(name: str) -> dict[str, str]:
    # No interpolation: a password may hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(name).expanduser().read_text(encoding="utf-8"))
        section = parser["mlflow"]
        return {variable: section[variable.lower()] for variable in _VARIABLES}
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        # Only the type of a parser's error: its text quotes the line.
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigError(
            "a credentials file must have a section [mlflow] with mlflow_tracking_username and "
            f"mlflow_tracking_password, but reading it failed: {reason}",
            where=f"{FILE_VARIABLE}={name}",
            remedy="correct the file, or unset the variable; it must be on the driver's machine",
        ) from None
