"""Which files a source consists of: a file, a folder or a glob, on any filesystem."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from rnnlane.data.storage import StoragePath, open_storage_path, readable_errors
from rnnlane.errors import DataError, redact

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: of the file.
        name: its path below what the user named, with forward slashes.
        size: in bytes.
        mtime_ns: last change, in ns since 1970; None if the filesystem does not record it.
        official_test: whether its rows belong to the source's own test split.
    """

    path: StoragePath
    name: str
    size: int
    mtime_ns: int | None
    official_test: bool = False


def list_location(
    location: str,
    *,
    kind: str,
    file_names: re.Pattern[str],
    key: str,
    official_test: bool = False,
) -> list[SourceFile]:
    """The files that a path or URI stands for, sorted: itself, or those of a folder or a glob.

    Args:
        location: what the user named.
        kind: of the source, for errors.
        file_names: which files of a folder hold rows.
        key: the setting that holds the location, for errors.
        official_test: passed on to each file.

    Raises:
        DataError: there is no such file, or it cannot be listed.
    """
    from pyarrow.fs import FileType

    path = open_storage_path(location)
    with readable_errors(redact(location)):
        info = path.info()
        if path.is_folder():
            root, infos = path, _data_files(path, file_names)
        elif info.type != FileType.NotFound:
            _check_is_file(info)
            root, infos = path, [info]
        else:
            root, infos = _matches(path)
            if not infos:
                raise not_found(location, path, key=key)
    if not infos:
        raise DataError(
            f"there is no {kind} file",
            where=f"{key} {redact(location)}",
            remedy=f"a folder must hold at least one file; looked in {root}",
        )
    return [source_file(info, root=root, official_test=official_test) for info in infos]


def files_in(
    folder: StoragePath, wanted: Callable[[str], bool], *, recursive: bool = False
) -> list[Any]:
    """``FileInfo`` of the files of a folder that are wanted, sorted by path.

    Args:
        folder: to list.
        wanted: by the path of a file.
        recursive: whether folders in the folder are listed too.

    Raises:
        DataError: a folder cannot be listed, or what is wanted is no file: a link without a
            target, which pyarrow would leave out, or a pipe.
    """
    from pyarrow.fs import FileType

    if folder.is_local:
        paths = sorted(filter(wanted, _local_paths(folder.path, recursive=recursive)))
        infos = folder.filesystem.get_file_info([_utf8(path) for path in paths])
    else:
        children = folder.children(recursive=recursive)
        infos = [info for info in children if wanted(info.path)]
    files = [info for info in infos if info.type != FileType.Directory]
    for info in files:
        _check_is_file(info)
    return files


def _local_paths(folder: str, *, recursive: bool) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        yield from (f"{parent}/{name}" for name in (*folders, *files))
        # A link to a folder above itself would be followed forever.
        here = os.path.realpath(parent)
        folders[:] = [
            name
            for name in folders
            if recursive and not _contains(os.path.realpath(f"{parent}/{name}"), here)
        ]


def _raise(error: OSError) -> None:
    raise DataError(
        f"cannot list the folder: {error.strerror}",
        where=str(error.filename),
        remedy="make it readable, or name the files with a glob",
    )


def _contains(folder: str, path: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


def _utf8(path: str) -> str:
    if not path.isascii() and any("\ud800" <= char <= "\udfff" for char in path):
        raise DataError(
            "the name of a file must be UTF-8", where=ascii(path), remedy="rename the file"
        )
    return path


def _check_is_file(info: Any) -> None:
    from pyarrow.fs import FileType

    if not info.is_file:
        is_link = info.type == FileType.NotFound
        raise DataError(
            "the target of a link must exist" if is_link else "not a file that can be read",
            where=info.path,
            remedy="restore or remove it, or name the files to read with a glob",
        )


def source_file(info: Any, *, root: StoragePath, official_test: bool = False) -> SourceFile:
    """The file that a pyarrow ``FileInfo`` describes, which is ``root`` or below it."""
    path = StoragePath(root.filesystem, info.path, root.prefix)
    name = info.path[len(root.path) :].lstrip("/")
    return SourceFile(path, name, info.size or 0, info.mtime_ns, official_test)


def not_found(location: str, path: StoragePath, *, key: str) -> DataError:
    """The error of a location that does not exist."""
    pattern = ", and none that matches it as a pattern" if _WILDCARD.search(location) else ""
    return DataError(
        f"no such file or folder{pattern}",
        where=f"{key} {redact(location)}",
        remedy=f"looked for {path}; the working directory is {os.getcwd()}",
    )


def _data_files(root: StoragePath, file_names: re.Pattern[str]) -> list[Any]:
    """Those of a folder that hold rows, without what writers leave beside them (_SUCCESS, .crc)."""

    def holds_rows(path: str) -> bool:
        hidden = re.search(r"/[._]", path[len(root.path) :])
        return bool(file_names.search(path)) and not hidden

    return files_in(root, holds_rows, recursive=True)


def _matches(pattern: StoragePath) -> tuple[StoragePath, list[Any]]:
    """The files that a glob names, and the folder that it starts from."""
    parts = pattern.path.split("/")
    # A folder may be called "[2024]".
    wild = (
        n
        for n, part in enumerate(parts)
        if _WILDCARD.search(part) and not _at(pattern, parts[: n + 1]).is_folder()
    )
    first = next(wild, len(parts))
    root, patterns = _at(pattern, parts[:first]), parts[first:]
    if not patterns:
        return root, []

    def matches(path: str) -> bool:
        return _matches_parts(path[len(root.path) :].lstrip("/").split("/"), patterns)

    return root, files_in(root, matches, recursive=len(patterns) > 1 or patterns == ["**"])


def _at(path: StoragePath, parts: Sequence[str]) -> StoragePath:
    return StoragePath(path.filesystem, "/".join(parts) or "/", path.prefix)


def _matches_parts(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path matches a pattern as in Python's ``glob``, folder by folder.

    ``**`` stands for any number of folders, and only a pattern with a dot at its start matches a
    hidden name.
    """
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    is_hidden = parts[0].startswith(".")
    if patterns[0] == "**":
        below = not is_hidden and _matches_parts(parts[1:], patterns)
        return below or _matches_parts(parts, patterns[1:])
    if is_hidden and not patterns[0].startswith("."):
        return False
    return fnmatchcase(parts[0], patterns[0]) and _matches_parts(parts[1:], patterns[1:])
