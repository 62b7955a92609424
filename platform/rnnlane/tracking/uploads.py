"""Whether files that were sent to a store have arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.errors import TrackingError

if TYPE_CHECKING:
    from mlflow.entities import FileInfo

ListFiles = Callable[[str | None], Iterable["FileInfo"]]
"""Gives what the store has in a folder; None: in the root."""


def check_arrived(folder: Path, list_files: ListFiles, *, path: str | None, where: str) -> None:
    """Looks whether the store has each file of a folder, in its size.

    MLflow takes any answer 200 to an upload for success, also the login page of a gateway.

    Args:
        folder: what was sent.
        list_files: asks the store.
        path: where its files were sent to; None: the root.
        where: names the run or the model in an error.

    Raises:
        TrackingError: one is missing, or has another size.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for parent in sorted({file.parent for file in files}):
        parts = [path or "", *parent.relative_to(folder).parts]
        place = "/".join(part for part in parts if part)
        stored = {info.path: info.file_size for info in list_files(place or None)}
        for file in files:
            name = f"{place}/{file.name}".lstrip("/")
            if file.parent == parent and stored.get(name, -1) not in {file.stat().st_size, None}:
                raise TrackingError(
                    f"the store took the artifact {name}, but does not have it", where=where
                )
