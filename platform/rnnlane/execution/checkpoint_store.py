"""The checkpoints of a run, on any filesystem that pyarrow supports.

A run may take several attempts (lost workers, a lost driver, resume). Each attempt has a folder
below the run's. A checkpoint holds everything a run needs, so the newest complete one is enough.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pyarrow import fs

from rnnlane.data.storage import open_storage_path
from rnnlane.errors import CheckpointError, disk_errors, redact
from rnnlane.training.checkpoint import STATE, is_complete

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def errors_name(root: str) -> Iterator[None]:
    """Makes a CheckpointError of its block name the run's checkpoints, not a copy in a scratch."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(error.message, where=redact(root), remedy=error.remedy) from None


class CheckpointStore:
    """The checkpoints of one run.

    Attributes:
        root: folder or URI; attempts are folders below it.
    """

    def __init__(self, root: str):
        self.root = root
        place = open_storage_path(root)
        self._filesystem, self._path = place.filesystem, place.path

    def next_attempt(self) -> str:
        """The name of a folder that no attempt has used yet."""
        used = {Path(info.path).name for info in self._list(self._path)}
        number = 1
        while f"attempt-{number}" in used:
            number += 1
        return f"attempt-{number}"

    def fetch_latest(self, destination: Path) -> Path | None:
        """Copies the newest complete checkpoint into an empty folder; None if there is none."""
        candidates = []
        for attempt in self._list(self._path):
            for info in self._list(attempt.path):
                position = self._position(info.path)
                if position is not None:
                    candidates.append((position, info.path))
        for _, path in sorted(candidates, reverse=True):
            target = destination / "checkpoint"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            fs.copy_files(
                path,
                str(target),
                source_filesystem=self._filesystem,
                destination_filesystem=fs.LocalFileSystem(),
            )
            if is_complete(target):
                return target
            logger.warning("the checkpoint %s is damaged; looking for an earlier one", path)
        return None

    def add(self, attempt: str, write: Callable[[Path], None]) -> None:
        """Adds a checkpoint to an attempt, and keeps the newest two of the attempt.

        Raises:
            ResourceError: the disk is full or cannot be written; the older checkpoints stay.
        """
        folder = f"{self._path}/{attempt}"
        kept = [info.path for info in self._list(folder) if "checkpoint_" in info.base_name]
        number = int(kept[-1].rsplit("_", 1)[1]) + 1 if kept else 0
        with tempfile.TemporaryDirectory() as scratch:
            write(Path(scratch))
            target = f"{folder}/checkpoint_{number:06d}"
            try:
                with disk_errors(target):
                    self._filesystem.create_dir(target)
                    fs.copy_files(
                        scratch,
                        target,
                        source_filesystem=fs.LocalFileSystem(),
                        destination_filesystem=self._filesystem,
                    )
            except BaseException:
                # Half a checkpoint is worth nothing, and the room it takes may be what is missing.
                with contextlib.suppress(OSError):
                    self._filesystem.delete_dir(target)
                raise
        for path in kept[:-1]:
            self._filesystem.delete_dir(path)

    def discard_empty(self, attempt: str) -> None:
        """Removes an attempt that holds no checkpoint, if that is possible."""
        folder = f"{self._path}/{attempt}"
        with contextlib.suppress(OSError):
            if not any(info.base_name.startswith("checkpoint_") for info in self._list(folder)):
                self._filesystem.delete_dir(folder)

    def delete(self) -> None:
        """Removes all checkpoints; does nothing if there are none."""
        if self._filesystem.get_file_info(self._path).type != fs.FileType.NotFound:
            self._filesystem.delete_dir(self._path)

    def _list(self, path: str) -> list[fs.FileInfo]:
        infos = self._filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(infos, key=lambda info: info.path)

    def _position(self, path: str) -> tuple[int, int] | None:
        """(epoch, step) of a checkpoint; None if it cannot be read."""
        try:
            with self._filesystem.open_input_stream(f"{path}/{STATE}") as stream:
                state = json.loads(stream.read())
            return int(state["epoch"]), int(state["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
