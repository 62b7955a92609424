"""Which files a source consists of: a file, a folder or a glob, on any filesystem."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import fs as pafs

from rnnlane.config.experiment import DataConfig, GeneratedSource, ImdbSource
from rnnlane.data.sources import imdb
from rnnlane.data.storage import Place, open_place, readable_errors
from rnnlane.errors import DataError, redact

_COMPRESSED = r"(?:\.(?:gz|bz2|zst|lz4))?$"
_SUFFIXES = {
    "csv": re.compile(r"\.(?:csv|tsv)" + _COMPRESSED, re.IGNORECASE),
    "jsonl": re.compile(r"\.(?:jsonl|ndjson|json)" + _COMPRESSED, re.IGNORECASE),
    "parquet": re.compile(r"\.(?:parquet|pq)$", re.IGNORECASE),
}
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        place: where it is.
        name: its path below what the user named, with forward slashes.
        size: in bytes.
        mtime_ns: last change, in ns since 1970; None where the filesystem does not tell.
        official_test: whether its rows belong to the source's own test split.
    """

    place: Place
    name: str
    size: int
    mtime_ns: int | None
    official_test: bool = False


def list_source(config: DataConfig) -> list[SourceFile]:
    """The files that a source consists of, sorted; none for a generated one.

    Raises:
        DataError: nothing is there, or it cannot be listed.
    """
    source = config.source
    if isinstance(source, GeneratedSource):
        return []
    if isinstance(source, ImdbSource):
        return _list_imdb(imdb.locate(source.path))
    files = list(_list_location(source.path, kind=source.kind, key="data.source.path"))
    if source.test_path is not None:
        files += _list_location(
            source.test_path, kind=source.kind, key="data.source.test_path", official_test=True
        )
    return files


def source_location(config: DataConfig) -> str:
    """Where a source is, for people: absolute, and without what a URI may hold in secret."""
    source = config.source
    if isinstance(source, GeneratedSource):
        return "generated"
    path = source.path
    if isinstance(source, ImdbSource):
        path = imdb.locate(source.path)
    return str(open_place(path)) if path else ""


def _list_imdb(location: str) -> list[SourceFile]:
    place = open_place(location)
    with readable_errors(redact(location)):
        info = place.info()
        if info.type == pafs.FileType.File:
            return [_source_file(place, info, root=place)]
        if info.type != pafs.FileType.Directory:
            raise _nothing_there(location, place, key="data.source.path")
        root = imdb.reviews_root(place)
        infos = [
            info
            for folder in imdb.REVIEW_FOLDERS
            for info in (root / folder).children()
            if info.path.endswith(".txt")
        ]
    return [_source_file(root, info, root=root) for info in infos]


def _list_location(
    location: str, *, kind: str, key: str, official_test: bool = False
) -> Iterator[SourceFile]:
    place = open_place(location)
    with readable_errors(redact(location)):
        info = place.info()
        if info.type == pafs.FileType.File:
            root, infos = place, [info]
        elif info.type == pafs.FileType.Directory:
            root = place
            infos = _data_files(root, root.children(recursive=True), kind=kind)
        elif _WILDCARD.search(place.path):
            root, infos = _matches(place)
        else:
            raise _nothing_there(location, place, key=key)
    if not infos:
        raise DataError(
            f"no {kind} file there",
            where=f"{key} {redact(location)}",
            remedy=f"a folder or glob must hold at least one file; looked in {root}",
        )
    for info in infos:
        yield _source_file(place, info, root=root, official_test=official_test)


def _source_file(
    place: Place, info: Any, *, root: Place, official_test: bool = False
) -> SourceFile:
    here = Place(place.filesystem, info.path, place.prefix)
    name = info.path[len(root.path) :].lstrip("/")
    return SourceFile(here, name, info.size or 0, info.mtime_ns, official_test)


def _data_files(root: Place, infos: Iterable[Any], *, kind: str) -> list[Any]:
    """Those of a folder that hold rows, without what writers leave beside them (_SUCCESS, .crc)."""
    return [
        info
        for info in infos
        if info.type == pafs.FileType.File
        and _SUFFIXES[kind].search(info.path)
        and not re.search(r"/[._]", info.path[len(root.path) :])
    ]


def _matches(pattern: Place) -> tuple[Place, list[Any]]:
    """The files that a glob names, and the folder that it starts from."""
    parts = pattern.path.split("/")
    first = next(n for n, part in enumerate(parts) if _WILDCARD.search(part))
    root = Place(pattern.filesystem, "/".join(parts[:first]) or "/", pattern.prefix)
    expression = _glob_expression(pattern.path)
    infos = root.children(recursive=first < len(parts) - 1 or "**" in parts)
    return root, [
        info
        for info in infos
        if info.type == pafs.FileType.File
        and expression.fullmatch(info.path)
        and not info.base_name.startswith(".")
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


def _nothing_there(location: str, place: Place, *, key: str) -> DataError:
    return DataError(
        "no such file or folder",
        where=f"{key} {redact(location)}",
        remedy=f"looked for {place}; the working directory is {os.getcwd()}",
    )
