"""Local paths and URIs, read and written through one interface: pyarrow's filesystems.

pyarrow is imported where it is used: sources import this module, and importing pyarrow takes
longer than validating an experiment.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import platformdirs

from rnnlane.errors import DataError, first_line, redact

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class StoragePath:
    """A path on a filesystem; picklable, so that tasks on other nodes can open it.

    Attributes:
        filesystem: a ``pyarrow.fs.FileSystem``.
        path: absolute on that filesystem, without a trailing slash.
        prefix: the scheme of the URI that a user gave, such as ``s3://``, for error messages.
    """

    filesystem: Any
    path: str
    prefix: str = ""

    def __str__(self) -> str:
        return self.prefix + self.path

    def __truediv__(self, name: str) -> StoragePath:
        return StoragePath(self.filesystem, f"{self.path}/{name}", self.prefix)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine, or on one that is mounted like that."""
        from pyarrow.fs import LocalFileSystem

        return isinstance(self.filesystem, LocalFileSystem)

    def info(self) -> Any:
        """``pyarrow.fs.FileInfo``; of type ``NotFound`` if the path does not exist."""
        return self.filesystem.get_file_info(self.path)

    def is_folder(self) -> bool:
        """Whether the path is a folder."""
        from pyarrow.fs import FileType

        return bool(self.info().type == FileType.Directory)

    def children(self, *, recursive: bool = False) -> list[Any]:
        """``FileInfo`` of what is in a folder, sorted by path; empty where there is no folder."""
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.path, allow_not_found=True, recursive=recursive)
        return sorted(self.filesystem.get_file_info(selector), key=lambda info: str(info.path))

    def read_bytes(self) -> bytes:
        """The content of a file.

        Raises:
            OSError: it cannot be read; ``FileNotFoundError`` where there is none.
        """
        with self.filesystem.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read())

    def write_bytes(self, content: bytes) -> None:
        """Writes a file. A reader may see it half-written; :meth:`publish` avoids that."""
        with self.filesystem.open_output_stream(self.path, compression=None) as stream:
            stream.write(content)

    def publish(self, content: bytes, *, draft: StoragePath) -> None:
        """Writes a file, or replaces it, so that readers only ever see it complete.

        Args:
            content: of the file.
            draft: the path written first, on the same filesystem. A move is a rename on a
                local disk and an atomic copy of a small object on an object store.
        """
        draft.write_bytes(content)
        self.filesystem.move(draft.path, self.path)

    def remove_folder(self) -> None:
        """Removes a folder with its content, if it exists."""
        if self.is_folder():
            self.filesystem.delete_dir(self.path)


def open_storage_path(location: str) -> StoragePath:
    """A local path, relative ones from the working directory, or a URI such as ``s3://...``.

    Raises:
        DataError: the URI is malformed or of a filesystem that pyarrow does not know, or the path
            is not UTF-8.
    """
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem, LocalFileSystem

    try:
        location.encode()
    except UnicodeEncodeError:
        raise DataError(
            "a path must be UTF-8", where=ascii(location), remedy="rename the file or folder"
        ) from None
    if "://" not in location:
        path = os.path.abspath(os.path.expanduser(location))
        return StoragePath(LocalFileSystem(), path)
    # Wildcards and spaces are not valid in a URI; from_uri() undoes the quoting.
    quoted = quote(location, safe="/:@?&=%+,;~!$'()")
    try:
        filesystem, path = FileSystem.from_uri(quoted)
    except (ArrowException, OSError) as error:
        shown = redact(location)
        reason = first_line(error).replace(quoted, shown)
        raise DataError(
            f"not a location that pyarrow can open: {reason}",
            where=shown,
            remedy="give a local path or a URI such as s3://bucket/folder or file:///folder",
        ) from None
    path = path.rstrip("/")
    return StoragePath(filesystem, path, prefix=redact(location).split("://")[0] + "://")


def joined(location: str, *names: str) -> str:
    """A location below another; the options of a URI stay at the end."""
    base, mark, options = location.partition("?") if "://" in location else (location, "", "")
    return "/".join([base.rstrip("/"), *names]) + mark + options


def user_cache() -> Path:
    """Folder for downloads and digests, which can be deleted. It may not exist yet."""
    return Path(platformdirs.user_cache_dir("rnnlane"))


@contextmanager
def readable_errors(where: str) -> Iterator[None]:
    """Turns a failure of the disk or the network in its block into a one-line DataError."""
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ArrowException) as error:
        raise storage_error(error, where=where) from None


def storage_error(error: Exception, *, where: str) -> DataError:
    """A failed read or write as an error for the user."""
    if getattr(error, "errno", None) in _NO_SPACE or "No space left" in str(error):
        return DataError(
            "no space left on the disk", where=where, remedy="free some space, then run again"
        )
    if isinstance(error, FileNotFoundError):
        return DataError("no such file", where=where, remedy="every node must reach the same path")
    reason = os.strerror(error.errno) if getattr(error, "errno", None) else first_line(error)  # type: ignore[attr-defined]
    return DataError(f"cannot read or write: {reason}", where=where)
