"""The token of a Ray on this machine: who can read it can have that Ray run any program."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path


def token_file() -> Path | None:
    """The file that Ray's token is read from; None where it is off, or given in the environment."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _default_file())


def make_token() -> None:
    """Writes Ray's default token file if there is none: whole at once, and for this user alone.

    Ray's own way to write it leaves it readable by everyone, and of two first commands at the same
    time each may write its own token, which the other one's processes then read. Where this cannot
    write it, Ray tries, and says why it cannot either.
    """
    file = _default_file()
    if token_file() != file or file.exists():
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)  # mode 0600
        try:
            with open(descriptor, "w", encoding="ascii") as handle:
                handle.write(secrets.token_hex(32))
                handle.flush()
                os.fsync(descriptor)
            os.link(name, file)  # fails where another process was first
        finally:
            os.unlink(name)


def is_open_to_all(file: Path) -> bool:
    """Whether every user of this machine may read a file: it, and the way to it, are open."""
    try:
        file = file.resolve(strict=True)
        way_is_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        return bool(file.stat().st_mode & stat.S_IROTH) and way_is_open
    except OSError:
        return False


def _default_file() -> Path:
    return Path.home() / ".ray" / "auth_token"
