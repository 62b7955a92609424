"""Runs, checkpoints and prepared data as they are on disk, without training."""

import json
import os
import time
from pathlib import Path
from typing import Any

from rnnlane.config.paths import home
from rnnlane.execution.run_record import RunRecord

IDENTITY = {"config_fingerprint": "c", "data_fingerprint": "d"}


def finished_run(**changes: Any) -> RunRecord:
    """A run that has finished, and whose store has everything."""
    record = RunRecord.create("x", **IDENTITY)
    return record.update(
        **{"state": "finished", "result": {}, "run_id": "r", "tracking_uri": "s"}
        | {"is_closed": True}
        | changes
    )


def checkpoint_of(record: RunRecord, num_bytes: int = 1000) -> Path:
    """Adds a checkpoint of a size to a run."""
    folder = home() / "checkpoints" / record.key / "attempt-1" / "checkpoint_000000"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(num_bytes))
    return folder


def prepared_data(name: str, num_bytes: int = 500) -> Path:
    """Finished prepared data, as far as a look from outside goes."""
    folder = home() / "prepared" / name
    data = folder / "data-20200101T000000Z-aaaaaaaaaaaa"
    data.mkdir(parents=True)
    (data / "part.parquet").write_bytes(bytes(num_bytes))
    (folder / "manifest.json").write_text(json.dumps({"data_folder": data.name}))
    return folder


def aged(path: Path, days: float) -> None:
    """Makes a file that many days old."""
    at = time.time() - days * 86400
    os.utime(path, (at, at))
