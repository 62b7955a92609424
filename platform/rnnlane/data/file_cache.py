"""Copies of files of an object store on a node's disk, for what is read epoch after epoch.

All processes of a user on a node share them. A copy is only ever a shortcut: where there is none,
or it is damaged, or the disk is full, the file itself is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from rnnlane.data.storage import StoragePath, open_storage_path, user_cache
from rnnlane.errors import DataError

_logger = logging.getLogger(__name__)

_Read = TypeVar("_Read")

# Of the disk's free bytes; the rest is for windows, checkpoints and others.
_SHARE_OF_DISK = 0.5
# A copy that was read lately makes no room: a shard is read row group by row group over some
# minutes, and would otherwise be fetched whole for each, where those in use do not all fit.
_KEPT_S = 600.0
_CHUNK_BYTES = 4 << 20
_LOCK = "lock"
_DRAFT = "draft"

# Folders in which this process could not write: what is read there once is not fetched twice.
_unusable: set[Path] = set()


def default_folder() -> Path:
    """Where copies are kept on this node."""
    return user_cache() / "files"


@dataclass(frozen=True)
class FileCache:
    """The copies of a node; of small size, and picklable.

    Those that were read longest ago make room for others.

    Attributes:
        max_bytes: of all copies; 0: none are made.
    """

    max_bytes: int

    def read(
        self, file: StoragePath, num_bytes: int, decoded: Callable[[StoragePath], _Read]
    ) -> _Read:
        """Reads a file, or its copy; makes the copy if there is none.

        Args:
            file: any file; one on a disk is read where it is.
            num_bytes: its size.
            decoded: reads what is at a path, and raises a DataError if that is damaged or gone.

        Raises:
            DataError: the file itself cannot be read or is damaged.
        """
        copy = self._copy_of(file, num_bytes)
        if copy is not None:
            try:
                return decoded(open_storage_path(str(copy)))
            except DataError as error:
                # Damaged, or another process needed the room. A damaged file is told below.
                _logger.info("the copy of %s is read no more: %s", file, error)
                copy.unlink(missing_ok=True)
        return decoded(file)

    def _copy_of(self, file: StoragePath, num_bytes: int) -> Path | None:
        """A copy of the right size, if there is one or room for it."""
        folder = default_folder()
        if file.is_local or not 0 < num_bytes <= self.max_bytes or folder in _unusable:
            return None
        copy = folder / hashlib.sha256(str(file).encode()).hexdigest()
        try:
            if not _touched(copy, num_bytes):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with FileLock(folder / _LOCK):
                    # Meanwhile another process may have made it.
                    if not _touched(copy, num_bytes) and not self._copied(file, num_bytes, copy):
                        return None
        except OSError as error:
            # If it is the store that failed, that is told when the file itself is read.
            _logger.warning("files of the store are not kept in %s: %s", folder, error)
            _unusable.add(folder)
            return None
        return copy

    def _copied(self, file: StoragePath, num_bytes: int, copy: Path) -> bool:
        """Copies a file; the caller has the lock."""
        draft = copy.with_name(_DRAFT)
        if not self._has_room(copy.parent, num_bytes):
            return False
        try:
            with (
                file.filesystem.open_input_stream(file.path, compression=None) as source,
                draft.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            if draft.stat().st_size != num_bytes:
                return False
            draft.rename(copy)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _has_room(self, folder: Path, num_bytes: int) -> bool:
        """Makes room for a file, if it can; the caller has the lock."""
        # Of a process that was killed.
        (folder / _DRAFT).unlink(missing_ok=True)
        copies = {}
        for path in folder.iterdir():
            # A damaged one may be removed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if path.name != _LOCK:
                    copies[path] = path.stat()
        used = sum(found.st_size for found in copies.values())
        free = shutil.disk_usage(folder).free
        room = min(self.max_bytes - used, int(_SHARE_OF_DISK * free))
        for copy, found in sorted(copies.items(), key=lambda item: item[1].st_mtime_ns):
            if num_bytes <= room or time.time() - found.st_mtime < _KEPT_S:
                break
            # Who reads it now has it open, and keeps it until then.
            copy.unlink(missing_ok=True)
            room += found.st_size
        return num_bytes <= room


NO_COPIES = FileCache(0)


def _touched(copy: Path, num_bytes: int) -> bool:
    """Whether there is a copy of that size; if so, it was read now."""
    try:
        if copy.stat().st_size != num_bytes:
            return False
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True
