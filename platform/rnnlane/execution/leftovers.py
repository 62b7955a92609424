"""What a run leaves on disk beside its worth, and how it goes once the run has finished."""

from __future__ import annotations

import contextlib
import shutil

from pyarrow import ArrowException

from rnnlane.data.storage import open_storage_path
from rnnlane.errors import DataError
from rnnlane.execution.run_record import RunRecord
from rnnlane.tracking.outbox import has_records

# Copies of what the store has, the folder of Ray Tune, and the outbox.
LOG_FOLDER = "log"
TIDIED_FOLDERS = ("inputs", "model", "ray-tune", "outbox", LOG_FOLDER)


def can_tidy(record: RunRecord) -> bool:
    """Whether a run has finished, and the store has its model and all else."""
    return (
        record.state == "finished"
        and record.is_closed
        and not record.is_tidy
        and not has_records(record.outbox)
    )


def tidy(record: RunRecord) -> RunRecord:
    """Removes what only an unfinished run needs: its checkpoints, and copies of what was logged.

    The caller holds the record. What cannot be removed now is left for the next command. Does
    nothing if the run has not finished or is not wholly delivered.
    """
    if not can_tidy(record):
        return record
    for name in TIDIED_FOLDERS:
        shutil.rmtree(record.folder / name, ignore_errors=True)
    if not remove_checkpoints(record):
        return record
    return record.update(is_tidy=True)


def remove_checkpoints(record: RunRecord) -> bool:
    """Removes a run's checkpoints; returns whether there are none any more."""
    with contextlib.suppress(OSError, ArrowException, DataError):
        open_storage_path(record.checkpoints).remove_folder()
        return True
    return False
