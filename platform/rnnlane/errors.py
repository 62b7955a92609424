"""The exceptions that rnnlane raises on purpose.

Each carries the three things a person needs: what rule was broken and by which value, where that
is, and what to do about it. Anything else that escapes is a defect of rnnlane.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Where the authority is empty, as in sqlite:///path, an @ belongs to the path; over
# HTTP it is never empty.
USER_INFO = re.compile(r"(?:(?<=https://)|(?<=http://)|(?<=://)(?!/))[^\s'\"]*@")
_QUERY_SECRET = re.compile(
    r"([?&;][\w.-]*(?:token|passw|pwd|secret|key|credential|signature|sig)[\w.-]*=)[^&;\s#'\"]+",
    re.IGNORECASE,
)


class RnnlaneError(Exception):
    """Root of all errors that a user is meant to read.

    Attributes:
        message: the rule, then the value received, in one sentence.
        where: file, line and dotted key, or the row, column or address concerned.
        remedy: what to do next, as an instruction.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.remedy})" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.where, self.remedy)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback: the caller, not rnnlane, is at fault."""
        return [f"{type(self).__name__}: {self}"]

    def as_dict(self) -> dict[str, Any]:
        """The error as ``--json`` prints it."""
        return {"message": self.message, "where": self.where, "remedy": self.remedy}


def _rebuild(
    kind: type[RnnlaneError], message: str, where: str | None, remedy: str | None
) -> RnnlaneError:
    """Unpickling passes arguments by position, but ``where`` and ``remedy`` are keyword-only."""
    return kind(message, where=where, remedy=remedy)


class ConfigError(RnnlaneError):
    """The experiment, a flag or an argument is wrong; nothing was started."""

    exit_code = 2


class MistakesError(ConfigError):
    """Several mistakes of one input; reads like the first of them.

    Attributes:
        errors: all of them, in the order of the input.
    """

    def __init__(self, errors: Sequence[RnnlaneError]):
        first = errors[0]
        super().__init__(first.message, where=first.where, remedy=first.remedy)
        self.errors = tuple(errors)

    @staticmethod
    def of(errors: Sequence[RnnlaneError]) -> RnnlaneError:
        """The error of some mistakes: if there is one, that; at least one is needed."""
        return errors[0] if len(errors) == 1 else MistakesError(errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))

    def __reduce__(self) -> tuple[object, ...]:
        return MistakesError, (self.errors,)

    def as_dict(self) -> dict[str, Any]:
        """The first mistake, and the list of all."""
        return {**super().as_dict(), "mistakes": [error.as_dict() for error in self.errors]}


class DataError(RnnlaneError):
    """The data cannot be read, split or encoded as the experiment asks."""

    exit_code = 2


class ResourceError(RnnlaneError):
    """What the experiment asks for does not fit the machine or the cluster."""

    exit_code = 2


class TrackingError(RnnlaneError):
    """The MLflow store cannot be reached, written or understood."""


class TrainingError(RnnlaneError):
    """Training cannot go on: the numbers, not the machine, are at fault."""


class CheckpointError(RnnlaneError):
    """A checkpoint cannot be read, or belongs to another experiment."""


class JobError(RnnlaneError):
    """Ray gave up on the workers or on the job."""


_SQLITE_IOERR = 10
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_DISK_ERRNOS = {
    errno.EACCES,
    errno.EFBIG,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
}
# Libraries that do not raise OSError say it in words: SQLite, safetensors, and Ray of its workers.
_FULL_WORDS = re.compile(r"[Nn]o space left on|database or disk is full|Disk quota exceeded")


def is_disk_full(error: BaseException) -> bool:
    """Whether a library says, in its own way, that a disk is full."""
    return getattr(error, "errno", None) in _FULL_ERRNOS or bool(_FULL_WORDS.search(str(error)))


def is_disk_error(error: BaseException) -> bool:
    """Whether a person has to see to a disk or a folder: it is full, broken or not writable."""
    return is_disk_full(error) or (
        isinstance(error, OSError) and error.errno in _DISK_ERRNOS and error.filename is not None
    )


def _is_failed_access(error: BaseException) -> bool:
    """Whether it is SQLite's word for a file that cannot be read or written ("disk I/O error")."""
    # The low byte is the kind of error, the rest its details.
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_IOERR)


@contextlib.contextmanager
def disk_errors(place: Path | str) -> Iterator[None]:
    """Turns a failure of a local disk in its block into a one-line ResourceError.

    Args:
        place: what is being written or read.
    """
    try:
        yield
    except RnnlaneError:
        raise
    except Exception as error:
        if is_disk_full(error) or isinstance(error, OSError) or _is_failed_access(error):
            raise disk_error(error, place) from error
        raise


def disk_error(error: BaseException, place: Path | str) -> ResourceError:
    """A failed read or write of a local file as an error for the user."""
    if is_disk_full(error):
        disk = "storage" if "://" in str(place) else f"disk {_mount_point(place)}"
        return ResourceError(
            f"no space left on the {disk}",
            where=str(place),
            remedy="free some space (`rnnlane clean` removes what is no longer needed), then run "
            "again",
        )
    number = getattr(error, "errno", None)
    return ResourceError(
        f"cannot read or write: {os.strerror(number) if number else first_line(error)}",
        where=str(getattr(error, "filename", None) or place),
        remedy="check the folder's owner, mode and disk, or set RNNLANE_HOME to another one",
    )


def _mount_point(place: Path | str) -> str:
    path = Path(place).absolute()
    return str(next(folder for folder in (path, *path.parents) if os.path.ismount(folder)))


def first_line(error: BaseException) -> str:
    """The first line of an error's message; if that is empty, the name of its type."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """The last line of an error's message, which says most where it holds a traceback."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]


def redact(text: str) -> str:
    """``text`` with the user, password and secret query values of every address in it replaced.

    Takes an address alone, or text that contains some. Hides too much rather than too little:
    everything up to the last ``@`` of an address, because a password may contain ``/``, ``:`` and
    ``@`` itself.
    """
    return _QUERY_SECRET.sub(r"\1***", USER_INFO.sub("***@", text))
