"""The weights of a run's model, from where the run put them: the MLflow store."""

import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from rnnlane.tracking.store import download_model

NAME = "weights.safetensors"


def weights_of(result: dict[str, Any]) -> dict[str, Tensor]:
    """The weights by name, of what ``train --json`` printed."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = download_model(result["tracking_uri"], result["run_id"], Path(folder))
        return load_file(bundle / NAME)


def weights_below(artifacts: Path, run_id: str) -> dict[str, Tensor]:
    """The same, from the folder of a store's artifacts, whose server may be out of reach."""
    models = [
        file.parent
        for file in artifacts.glob("**/MLmodel")
        if f"run_id: {run_id}" in file.read_text()
    ]
    (file,) = models[0].glob(f"**/{NAME}")
    return load_file(file)
