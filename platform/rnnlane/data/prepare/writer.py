"""Drafts of prepared data, and their publication: all at once or not at all.

Everything is written to a folder with a unique name, and the manifest, which names that folder,
is written last. So a process that dies leaves nothing that looks finished, and two that prepare
the same data cannot mix their files: each has its own folder and the manifest names one of them.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyarrow import ArrowException

from rnnlane.data.prepare.prepared import (
    MANIFEST_NAME,
    VOCABULARY_NAME,
    Manifest,
    PreparedData,
    folder_files,
    open_prepared,
)
from rnnlane.data.storage import StoragePath, open_storage_path, readable_errors
from rnnlane.errors import DataError, redact

_logger = logging.getLogger(__name__)

_STAMP = "%Y%m%dT%H%M%SZ"
_DRAFT_NAME = re.compile(r"data-(\d{8}T\d{6}Z)-[0-9a-f]+")
_ABANDONED_AFTER = timedelta(hours=24)


def find_finished(path: str) -> PreparedData | None:
    """Prepared data that is finished and undamaged, or None.

    Raises:
        DataError: the storage cannot be reached.
    """
    with readable_errors(redact(path)):
        if not (open_storage_path(path) / MANIFEST_NAME).info().is_file:
            return None
    try:
        return open_prepared(path)
    except DataError as error:
        _logger.warning("preparing the data again: %s", error.message)
        return None


@contextmanager
def draft_folder(path: str) -> Iterator[StoragePath]:
    """A new folder below ``path``; removed again if its block fails.

    Raises:
        DataError: it cannot be made.
    """
    stamp = datetime.now(UTC).strftime(_STAMP)
    folder = open_storage_path(path) / f"data-{stamp}-{secrets.token_hex(6)}"
    with readable_errors(str(folder)):
        folder.filesystem.create_dir(folder.path, recursive=True)
    try:
        yield folder
    except BaseException:
        _discard(folder)
        raise


def write_vocabulary(folder: StoragePath, text: str) -> None:
    """Adds the vocabulary, as JSON lines, to a draft.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    with readable_errors(str(folder)):
        (folder / VOCABULARY_NAME).write_bytes(text.encode())


def publish(path: str, *, folder: StoragePath, manifest: Manifest) -> PreparedData:
    """Finishes a draft, unless another process finished the same data first, which is then used.

    Two processes may both publish at the same moment: the later manifest stays and both folders
    are complete; the folder that it does not name is removed a day later.

    Args:
        path: folder or URI of the prepared data.
        folder: the draft.
        manifest: without ``files``, which are added here; ``checksums`` as far as known.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    existing = find_finished(path)
    if existing is not None:
        _discard(folder)
        return existing
    home = open_storage_path(path)
    with readable_errors(str(home)):
        files = folder_files(folder)
        known = manifest.checksums
        checksums = {
            name: known[name] if name in known else zlib.crc32((folder / name).read_bytes())
            for name in files
        }
        complete = manifest.model_copy(update={"files": files, "checksums": checksums})
        content = complete.model_dump_json(indent=2).encode()
        (home / MANIFEST_NAME).publish(content, draft=folder / MANIFEST_NAME)
    return open_prepared(path)


def remove_abandoned(path: str, *, now: datetime) -> None:
    """Removes the :func:`abandoned_drafts` below prepared data.

    Raises:
        DataError: the storage cannot be reached.
    """
    finished = find_finished(path)
    used = finished.manifest.data_folder if finished else None
    for folder in abandoned_drafts(path, used=used, now=now):
        _discard(folder)


def abandoned_drafts(path: str, *, used: str | None, now: datetime) -> list[StoragePath]:
    """Drafts that are a day old and that the manifest does not name: their writers died.

    Args:
        path: folder or URI of the prepared data.
        used: name of the folder that the manifest names.
        now: with a time zone.

    Raises:
        DataError: the storage cannot be reached.
    """
    home = open_storage_path(path)
    with readable_errors(str(home)):
        infos = home.children()
    drafts = []
    for info in infos:
        match = _DRAFT_NAME.fullmatch(info.base_name)
        if match is None or info.base_name == used:
            continue
        made = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
        if now - made > _ABANDONED_AFTER:
            drafts.append(home / info.base_name)
    return drafts


def _discard(folder: StoragePath) -> None:
    """Removes a draft; one that cannot be removed now is left for :func:`remove_abandoned`."""
    with contextlib.suppress(OSError, ArrowException):
        folder.remove_folder()
        if folder.is_local:
            # Fails if it holds the draft of another process.
            Path(folder.path).parent.rmdir()
