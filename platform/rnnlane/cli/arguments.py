"""What a command is started with, before any of it is read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from rnnlane.errors import ConfigError

_READ_PREFIXES = ("RNNLANE_", "MLFLOW_", "RAY_", "AWS_", "XDG_")
_READ_NAMES = {"HOME", "TMPDIR", "TEMP", "TMP", "LOGNAME", "USER", "LNAME", "USERNAME"}


def check_utf8(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Refuses what is not UTF-8: Python stands for such bytes with characters that JSON, SQLite
    and Arrow cannot take, each at a place of its own.

    Args:
        arguments: those of the command line.
        environment: the variables; those that neither rnnlane nor its libraries read may be
            anything.

    Raises:
        ConfigError: an argument, a variable or the working directory is not UTF-8.
    """
    for where, value in _given(arguments, environment):
        try:
            value.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(value).decode("utf-8", "backslashreplace")
            raise ConfigError(
                f"what a command is given must be UTF-8, but got '{shown}'",
                where=where,
                remedy="set a UTF-8 locale in the terminal, or rename the file or folder",
            ) from None


def _given(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for number, argument in enumerate(arguments, start=1):
        yield f"command line, argument {number}", argument
    for name, value in sorted(environment.items()):
        if name in _READ_NAMES or name.startswith(_READ_PREFIXES):
            yield f"environment variable {name}", value
    with contextlib.suppress(OSError):  # it may have been removed
        yield "working directory", os.getcwd()
