"""Locks that say that a folder is in use: its users share one, and who removes it needs it alone.

A lock ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

LOCK_NAME = "in-use.lock"
"""In the folder. Its time of change is when the folder was last used."""


def hold(folder: Path, *, owner: object = None) -> None:
    """Keeps others from being alone in a folder.

    Where the lock cannot be made, in a read-only folder for example, nothing can be removed either.

    Args:
        folder: an existing one.
        owner: the lock lasts as long as this object; default: as long as the process.
    """
    with contextlib.suppress(OSError):
        file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        if owner is not None:
            weakref.finalize(owner, os.close, file)
        fcntl.flock(file, fcntl.LOCK_SH)
        os.utime(file)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether no process holds a folder; if so, none can until the block has ended."""
    try:
        file = os.open(folder / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)


def last_used(folder: Path) -> float | None:
    """When a folder was last held, in seconds since 1970; None if it never was."""
    try:
        return (folder / LOCK_NAME).stat().st_mtime
    except OSError:
        return None
