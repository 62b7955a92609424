"""Which files a person means, and of which kind they are."""

from __future__ import annotations

import re

from rnnlane.data.sources.files import SourceFile, list_location
from rnnlane.data.storage import StoragePath, open_storage_path, readable_errors
from rnnlane.data.tables import KINDS, SUFFIXES, table_kind
from rnnlane.errors import DataError, redact

_ANY_NAME = re.compile("")
_HEAD_BYTES = 4096


def files_to_survey(location: str) -> tuple[str, tuple[SourceFile, ...]]:
    """The kind of source that reads a location, and its files, sorted.

    Args:
        location: a file, a folder, a glob or a URI.

    Raises:
        DataError: there is no file, or a folder has files of several kinds.
    """
    with readable_errors(redact(location)):
        is_folder = open_storage_path(location).is_folder()
    found = list_location(location, kind="data", file_names=_ANY_NAME, key="PATH")
    if not is_folder:
        return _kind_of(found[0]), tuple(found)
    by_kind = {
        kind: [file for file in found if table_kind(file.path.name) == kind] for kind in KINDS
    }
    kinds = [kind for kind, files in by_kind.items() if files]
    if not kinds:
        raise DataError(
            f"a folder must hold files whose names end in {SUFFIXES}, but this one holds none",
            where=location,
            remedy="give the path of a file",
        )
    if len(kinds) > 1:
        raise DataError(
            f"a source has files of one kind, but this folder holds {' and '.join(kinds)}",
            where=location,
            remedy="name those to read by a pattern in quotes, such as "
            f"'{location.rstrip('/')}/*.{kinds[0]}'",
        )
    return kinds[0], tuple(by_kind[kinds[0]])


def _kind_of(file: SourceFile) -> str:
    """By what a file begins with, where that is plain; else by its name; else csv."""
    head = _head(file.path).lstrip(b"\xef\xbb\xbf \r\n\t")
    if head.startswith(b"PAR1"):
        return "parquet"
    if re.match(rb'\{\s*"', head):
        return "jsonl"
    return table_kind(file.path.name) or "csv"


def _head(path: StoragePath) -> bytes:
    try:
        with path.filesystem.open_input_stream(path.path, compression="detect") as stream:
            return bytes(stream.read(_HEAD_BYTES))
    except OSError:
        return b""  # the reader of the kind that the name tells says what is wrong
