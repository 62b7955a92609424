"""Identity of a source's bytes, and a cache of it: hashing a data set again costs seconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from rnnlane.data.sources.files import SourceFile
from rnnlane.data.storage import readable_errors

_CHUNK_BYTES = 4 << 20
# Clocks of filesystems tick coarsely: a file changed right before it was hashed can change again
# and keep its time stamp (git calls such an entry racily clean).
_SETTLED_NS = 2_000_000_000


def files_fingerprint(files: Sequence[SourceFile], *, cache: Path) -> str:
    """SHA-256 of some files, cached for as long as names, sizes and time stamps stay the same.

    One file counts by its content alone, several by their names below the folder as well.

    Args:
        files: in a fixed order.
        cache: folder with one small file for each set of files; made if needed.

    Raises:
        DataError: a file cannot be read.
    """
    entry = cache / _listing_digest(files)
    with contextlib.suppress(OSError, ValueError):
        digest = entry.read_text(encoding="ascii")
        if len(digest) == 64:
            return digest
    started_ns = time.time_ns()
    digest = _content_digest(files)
    if all(_settled(file, started_ns) for file in files):
        _write_entry(entry, digest)
    return digest


def _listing_digest(files: Sequence[SourceFile]) -> str:
    hasher = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.size}\0{file.mtime_ns}\0{file.official_test}\n"
        hasher.update(line.encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def _settled(file: SourceFile, started_ns: int) -> bool:
    return file.mtime_ns is not None and file.mtime_ns < started_ns - _SETTLED_NS


def _content_digest(files: Sequence[SourceFile]) -> str:
    if len(files) == 1:
        return _file_digest(files[0])
    hasher = hashlib.sha256()
    for file in files:
        line = f"{file.name}\0{file.official_test}\0{_file_digest(file)}\n"
        hasher.update(line.encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def _file_digest(file: SourceFile) -> str:
    hasher = hashlib.sha256()
    with (
        readable_errors(str(file.path)),
        file.path.filesystem.open_input_stream(file.path.path, compression=None) as stream,
    ):
        while chunk := stream.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def _write_entry(entry: Path, digest: str) -> None:
    """Writes a cache entry; a cache that cannot be written is not an error."""
    draft = entry.with_name(f"{entry.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(digest, encoding="ascii")
        os.replace(draft, entry)
