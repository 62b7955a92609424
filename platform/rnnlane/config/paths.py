"""Where rnnlane keeps prepared data, checkpoints and the embedded store."""

from __future__ import annotations

import os
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig


def home() -> Path:
    """Absolute folder for the embedded store, prepared data and runs; it may not exist yet.

    ``RNNLANE_HOME``, else ``.rnnlane`` in the working directory.
    """
    return Path(os.environ.get("RNNLANE_HOME") or ".rnnlane").absolute()


def storage_root(config: ExperimentConfig) -> str:
    """Folder or pyarrow URI for prepared data and checkpoints, without a trailing slash."""
    configured = config.runtime.storage_path
    if configured is None:
        return str(home())
    return configured.rstrip("/") if "://" in configured else str(Path(configured).absolute())
