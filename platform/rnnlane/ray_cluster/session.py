"""What the Ray of a command leaves on the disk: its session's folder, and folders of its processes.

They go with the command, unless a person may want to read Ray's logs because it failed. What a
killed command leaves goes by `rnnlane clean`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rnnlane.data.in_use import hold
from rnnlane.ray_cluster.internals import multiprocessing_folders

_ATTEMPTS, _PAUSE_S = 5, 0.1

_keeps_logs = False
_own: Path | None = None
_when_ended: list[Callable[[], None]] = []


def remove_at_exit(folder: Path) -> None:
    """Ends this process's own Ray when this process ends, and removes what it left.

    Args:
        folder: of its session. Until then `rnnlane clean` does not touch it, and later it may.
    """
    global _own  # noqa: PLW0603
    _own = folder
    hold(folder)
    atexit.register(_end, folder, os.getpid())


def lost_files() -> Path | None:
    """The folder of this process's own Ray, if something has removed its files.

    Such a Ray goes on, but starts no process any more, and what waits for one waits for ever.
    """
    # Its folders may have come back; the sockets, which new processes need, do not.
    return None if _own is None or any(_own.glob("sockets/*")) else _own


def call_when_ended(function: Callable[[], None]) -> None:
    """Calls a function when the process ends, after its Ray; once, however often it is given."""
    if function not in _when_ended:
        _when_ended.append(function)


def keep_logs() -> None:
    """Leaves the folders of sessions for a person to read."""
    global _keeps_logs  # noqa: PLW0603
    _keeps_logs = True


def _end(folder: Path, pid: int) -> None:
    if os.getpid() != pid:  # a forked process ended
        return
    import ray

    temporary = multiprocessing_folders()
    ray.shutdown()
    for left in temporary:
        shutil.rmtree(left, ignore_errors=True)
    for function in _when_ended:
        function()
    if not _keeps_logs:
        _remove(folder)


def _remove(folder: Path) -> None:
    # A process that is just ending may still write.
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(_PAUSE_S)
    with contextlib.suppress(OSError):
        for entry in folder.parent.iterdir():  # links into the session
            if entry.is_symlink() and folder.name in entry.readlink().parts:
                entry.unlink()
