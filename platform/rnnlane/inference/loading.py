"""The model of a run, from the store into memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.tracking.store import download_model, find_run
from rnnlane.tracking.uris import resolve_uri

if TYPE_CHECKING:
    from rnnlane.config.runtime import Device
    from rnnlane.inference.ensemble import AnyPredictor


def load_predictor(
    run: str, *, tracking_uri: str | None, device: Device = "auto"
) -> tuple[str, AnyPredictor]:
    """The id of a run, and its model.

    Args:
        run: an id, the unique prefix of an id, a name, "latest", or ``models:/NAME@ALIAS``.
        tracking_uri: the MLflow store; None: as for training.
        device: where it classifies; auto takes a GPU if there is one.

    Raises:
        ConfigError: there is no such run, or no such device.
        ResourceError: a GPU is wanted, but there is none.
        TrackingError: the store cannot be read, or the run has no model.
    """
    uri = resolve_uri(tracking_uri)
    run_id = find_run(uri, run, with_model=True).run_id
    # After the run has been found: it imports torch, which takes seconds.
    from rnnlane.inference.ensemble import load_bundled
    from rnnlane.training.group import in_process

    group = in_process(device, where="device")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = download_model(uri, run_id, Path(scratch))
        return run_id, load_bundled(bundle, device=group.device)
