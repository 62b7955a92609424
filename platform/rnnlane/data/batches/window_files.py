"""Decoded windows in files that all workers of a node map into memory: each is decoded once a node.

A folder in the node's temporary folder is shared by all who read the same windows. Whoever needs
one that is not there decodes it, one at a time, and the others wait for it. A window goes once one
of its readers is done with it: where another still maps it, its memory stays until that one is
done; where another has yet to come, it decodes it again. So nothing depends on who is where.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.in_use import LOCK_NAME, alone
from rnnlane.data.prepare.shards import GroupRows
from rnnlane.errors import ResourceError, disk_errors

_PREFIX = "rnnlane-windows-"
_DECODING = "decoding.lock"
_NUM_COUNTS = 3


class WindowFolder:
    """Windows that are read now. Use it as a context: it goes with its last user.

    Args:
        name: the same for all who read the same windows, and for nobody else.

    Raises:
        ResourceError: on entry, the folder is another user's.
    """

    def __init__(self, name: str):
        self.path = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getuid()}-{name}"
        self._lock = -1

    def __enter__(self) -> WindowFolder:
        _remove_abandoned()
        while not self._is_held():
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._check_owner()
            with contextlib.suppress(FileNotFoundError):
                self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        _remove_if_free(self.path)

    def _check_owner(self) -> None:
        """Others can guess the name, and would then read the rows, or write other ones.

        Raises:
            ResourceError: the folder is another user's, or a link.
        """
        with contextlib.suppress(FileNotFoundError):
            found = self.path.lstat()
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                raise ResourceError(
                    "the folder of windows must be this user's own, but another one made it",
                    where=str(self.path),
                    remedy="remove it, or set TMPDIR to a folder of your own",
                )

    def _is_held(self) -> bool:
        """Whether the lock is that of the folder, and not of one that was removed meanwhile."""
        if self._lock < 0:
            return False
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._lock), (self.path / LOCK_NAME).stat()):
                return True
        os.close(self._lock)
        self._lock = -1
        return False

    def window(
        self, name: str, decoded: Callable[[], Iterator[tuple[int, GroupRows]]]
    ) -> MappedWindow:
        """A window, decoded if no one has done so yet.

        Args:
            name: of the window.
            decoded: its rows, and their label, in any order.

        Raises:
            ResourceError: the disk is full or cannot be written.
        """
        file = self.path / f"{name}.window"
        while True:
            with contextlib.suppress(FileNotFoundError):
                return MappedWindow(file)
            with (self.path / _DECODING).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not file.exists():
                    draft = file.with_suffix(".draft")
                    with disk_errors(self.path):
                        _write(draft, decoded())
                    draft.rename(file)

    def remove(self, name: str) -> None:
        """Removes a window; who maps it keeps it."""
        (self.path / f"{name}.window").unlink(missing_ok=True)


class MappedWindow:
    """A window in memory that is shared with others.

    Attributes:
        split: its rows, in the order in which they were decoded.
        row_ids: int64 [N], of these rows, in the whole split.
    """

    def __init__(self, file: Path):
        # Not as a memmap, whose every slice costs more.
        content = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
        trailer = content[len(content) - _NUM_COUNTS * 8 :]
        num_rows, num_tokens, num_unknown = trailer.view(np.int64).tolist()
        sizes = [num_tokens * 4, num_unknown * 4, num_rows * 8, num_rows * 8, num_rows * 8 + 8]
        starts = np.cumsum([0, *(size + -size % 8 for size in sizes)])
        parts = [content[at : at + size] for at, size in zip(starts, sizes, strict=False)]
        tokens, keys = parts[0].view(np.int32), parts[1].view(np.uint32)
        self.row_ids, labels, offsets = (part.view(np.int64) for part in parts[2:])
        self.split = EncodedSplit(tokens, offsets, labels, keys)


def _write(file: Path, decoded: Iterator[tuple[int, GroupRows]]) -> None:
    """Token ids and keys, each padded to 8 bytes; row ids, labels, offsets; how many there are."""
    keys, row_ids, labels, lengths = [], [], [], [np.zeros(1, np.int64)]
    num_tokens = 0
    with file.open("wb") as stream:
        for label, rows in decoded:
            stream.write(rows.token_ids.data)
            num_tokens += len(rows.token_ids)
            keys.append(rows.unknown_keys)
            row_ids.append(rows.row_ids)
            labels.append(np.full(len(rows.row_ids), label, dtype=np.int64))
            lengths.append(np.diff(rows.offsets))
        stream.write(bytes(-stream.tell() % 8))
        for of_rows in keys:
            stream.write(np.ascontiguousarray(of_rows).data)
        stream.write(bytes(-stream.tell() % 8))
        for arrays in (row_ids, labels, [np.cumsum(np.concatenate(lengths))]):
            for array in arrays:
                stream.write(np.ascontiguousarray(array).data)
        counts = [sum(map(len, row_ids)), num_tokens, sum(map(len, keys))]
        stream.write(np.array(counts, dtype=np.int64).data)


def _remove_abandoned() -> None:
    """Removes the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}{os.getuid()}-*"):
        _remove_if_free(folder)


def _remove_if_free(folder: Path) -> None:
    # Without a lock it is being made, or just removed.
    with contextlib.suppress(OSError):
        if (folder / LOCK_NAME).exists():
            with alone(folder) as is_free:
                if is_free:
                    shutil.rmtree(folder, ignore_errors=True)
