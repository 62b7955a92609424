"""The account for an MLflow server, by reference: a file that is named, never its content."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from rnnlane.errors import ConfigError

FILE_VARIABLE = "RNNLANE_CREDENTIALS_FILE"
_VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def use_credentials_file() -> None:
    """Gives MLflow in this process the account of the file that RNNLANE_CREDENTIALS_FILE names.

    The file has MLflow's own format: a section ``[mlflow]`` with ``mlflow_tracking_username`` and
    ``mlflow_tracking_password``. What the environment holds already goes before it, as with
    MLflow's own ``~/.mlflow/credentials``.

    Raises:
        ConfigError: the file cannot be read or lacks one of the two.
    """
    named = os.environ.get(FILE_VARIABLE)
    if not named or all(os.environ.get(variable) for variable in _VARIABLES):
        return
    for variable, value in _read(named).items():
        os.environ.setdefault(variable, value)


def _read(named: str) -> dict[str, str]:
    # No interpolation: a password may hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(named).expanduser().read_text(encoding="utf-8"))
        section = parser["mlflow"]
        return {variable: section[variable.lower()] for variable in _VARIABLES}
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        # Only the kind of a parser's error: its text quotes the line.
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigError(
            "a credentials file must have a section [mlflow] with mlflow_tracking_username and "
            f"mlflow_tracking_password, but it cannot be read so: {reason}",
            where=f"{FILE_VARIABLE}={named}",
            remedy="mend the file, or unset the variable; it must be on the machine of the driver",
        ) from None
