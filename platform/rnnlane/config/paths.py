"""Where rnnlane keeps prepared data, checkpoints and the embedded store."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import ConfigError, is_disk_full

ACCOUNT_FOLDER = "account"
"""Below :func:`home`: what libraries keep for an account that has no home folder of its own."""

JOB_VARIABLE = "RNNLANE_JOB"
"""A job's submission id, in the environment of its processes."""


def home() -> Path:
    """Absolute folder for the embedded store, prepared data and runs; it may not exist yet.

    ``RNNLANE_HOME``, else ``.rnnlane`` in the working directory; of a job, whose working directory
    is deleted, in the account's own folder.

    Raises:
        ConfigError: it begins with ``~``, or is relative, and there is no such folder; or there is
            something else than a folder that can be read.
    """
    default = f"{os.environ.get('HOME', '')}/.rnnlane" if is_job() else ".rnnlane"
    return _absolute(os.environ.get("RNNLANE_HOME") or default, where="RNNLANE_HOME")


def is_job() -> bool:
    """Whether this process belongs to a job that `rnnlane submit` sent."""
    return bool(os.environ.get(JOB_VARIABLE))


def provide_account() -> None:
    """Gives a process whose account has no entry, as in many containers, a home folder and a name.

    Libraries ask for them when they are imported, MLflow for example.

    Raises:
        ConfigError: there is no home folder, and ``RNNLANE_HOME`` names no place for one.
    """
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        names = ("LOGNAME", "USER", "LNAME", "USERNAME")
        if not any(os.environ.get(name) for name in names):
            os.environ["USER"] = f"uid-{os.getuid()}"
    else:
        return
    if os.environ.get("HOME"):
        return
    if not os.environ.get("RNNLANE_HOME"):
        raise ConfigError(
            f"an account needs a home folder, but uid {os.getuid()} has no entry in /etc/passwd "
            "and HOME is not set",
            where="HOME",
            remedy="set RNNLANE_HOME, or HOME, to a folder that it may write to",
        )
    os.environ["HOME"] = str(home() / ACCOUNT_FOLDER)


def storage_root(config: ExperimentConfig) -> str:
    """Folder or pyarrow URI for prepared data and checkpoints, without a trailing slash.

    Raises:
        ConfigError: as for :func:`home`.
    """
    configured = config.runtime.storage_path
    if configured is None:
        return str(home())
    if "://" in configured:
        return configured.rstrip("/")
    return str(_absolute(configured, where="runtime.storage_path"))


def check_writable(config: ExperimentConfig) -> None:
    """Refuses a home or a local storage that cannot be written, before anything is started.

    Raises:
        ConfigError: as for :func:`home`, or this account may not write there.
    """
    places = {"RNNLANE_HOME": str(home()), "runtime.storage_path": storage_root(config)}
    for where, path in places.items():
        if "://" in path:
            continue
        folder = existing(Path(path))
        try:
            # Modes do not tell: not to root, nor of a read-only mount.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            if not is_disk_full(error):
                reason = f"{folder}: {error.strerror}"
                raise _unusable(path, where=where, reason=reason) from None


def existing(path: Path) -> Path:
    """The path, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def _absolute(path: str, *, where: str) -> Path:
    try:
        absolute = Path(path).expanduser().absolute()
    except RuntimeError:
        reason = "no account of that name has a home folder"
    except FileNotFoundError:
        reason = "the working directory has been removed"
    else:
        found = existing(absolute)
        if not found.is_dir():
            raise _unusable(path, where=where, reason=f"{found} is not a folder")
        if not os.access(found, os.R_OK | os.X_OK):
            raise _unusable(path, where=where, reason=f"{found} cannot be read")
        return absolute
    raise ConfigError(
        f"a folder must be one that can be found, but got {path!r}: {reason}",
        where=where,
        remedy="give the whole path, beginning with /",
    )


def _unusable(path: str, *, where: str, reason: str) -> ConfigError:
    return ConfigError(
        f"must be a folder that can be written, but got {path!r}: {reason}",
        where=where,
        remedy=f"set {where} to another folder, or correct its owner and mode",
    )
