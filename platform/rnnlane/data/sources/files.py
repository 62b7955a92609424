"""Which files a source consists of: a file, a folder or a glob, on any filesystem."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
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
    path = open_storage_path(location)
    with readable_errors(redact(location)):
        info = path.info()
        if info.is_file:
            root, infos = path, [info]
        elif path.is_folder():
            root = path
            infos = _data_files(root, root.children(recursive=True), file_names)
        elif _WILDCARD.search(path.path):
            root, infos = _matches(path)
        else:
            raise not_found(location, path, key=key)
    if not infos:
        raise DataError(
            f"there is no {kind} file",
            where=f"{key} {redact(location)}",
            remedy=f"a folder or glob must hold at least one file; looked in {root}",
        )
    return [source_file(info, root=root, official_test=official_test) for info in infos]


def source_file(info: Any, *, root: StoragePath, official_test: bool = False) -> SourceFile:
    """The file that a pyarrow ``FileInfo`` describes, which is ``root`` or below it."""
    path = StoragePath(root.filesystem, info.path, root.prefix)
    name = info.path[len(root.path) :].lstrip("/")
    return SourceFile(path, name, info.size or 0, info.mtime_ns, official_test)


def not_found(location: str, path: StoragePath, *, key: str) -> DataError:
    """The error of a location that does not exist."""
    return DataError(
        "no such file or folder",
        where=f"{key} {redact(location)}",
        remedy=f"looked for {path}; the working directory is {os.getcwd()}",
    )


def _data_files(root: StoragePath, infos: Iterable[Any], file_names: re.Pattern[str]) -> list[Any]:
    """Those of a folder that hold rows, without what writers leave beside them (_SUCCESS, .crc)."""
    return [
        info
        for info in infos
        if info.is_file
        and file_names.search(info.path)
        and not re.search(r"/[._]", info.path[len(root.path) :])
    ]


def _matches(pattern: StoragePath) -> tuple[StoragePath, list[Any]]:
    """The files that a glob names, and the folder that it starts from."""
    parts = pattern.path.split("/")
    first = next(n for n, part in enumerate(parts) if _WILDCARD.search(part))
    root = StoragePath(pattern.filesystem, "/".join(parts[:first]) or "/", pattern.prefix)
    expression = _glob_expression(pattern.path)
    infos = root.children(recursive=first < len(parts) - 1 or "**" in parts)
    return root, [
        info
        for info in infos
        if info.is_file and expression.fullmatch(info.path) and not info.base_name.startswith(".")
    ]


def _glob_expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``*`` stays within a folder, ``**/`` does not."""
    pieces = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", pattern)
    meaning = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            meaning.get(piece) or (piece if piece.startswith("[") else re.escape(piece))
            for piece in pieces
        )
    )
