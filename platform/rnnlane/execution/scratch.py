"""Temporary folders for checkpoints, which do not outlive their processes for long.

A worker that is killed cannot remove its own, and a checkpoint may have hundreds of megabytes. So
each folder has a lock that its process holds, and whoever makes or ends a folder removes those on
the same machine whose locks are free.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "rnnlane-scratch-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for the time of the block."""
    remove_abandoned()
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(8)}"
    lock = FileLock(_lock_of(folder))
    # Locked before the folder exists: what is not locked counts as abandoned.
    with lock:
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _lock_of(folder).unlink(missing_ok=True)


def remove_abandoned() -> None:
    """Removes the folders on this machine whose processes have ended without doing so."""
    for file in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*.lock"):
        # Held, or another user's: neither is ours to remove.
        with contextlib.suppress(Timeout, OSError), FileLock(file, timeout=0):
            shutil.rmtree(file.with_suffix(""), ignore_errors=True)
            file.unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
