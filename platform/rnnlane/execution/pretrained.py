"""The language model that an experiment's classifier starts from."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.paths import home
from rnnlane.data.in_use import hold
from rnnlane.errors import ConfigError

if TYPE_CHECKING:
    from rnnlane.pretraining.bundle import Pretrained

RUNS_SCHEME = "runs:/"
KEY = "model.init_from"
FOLDER = "pretrained"
"""In the home: copies of language models, by run id."""


def with_known_start(config: ExperimentConfig) -> ExperimentConfig:
    """The experiment with the whole id of the run that ``model.init_from`` names.

    Raises:
        ConfigError: no run of `rnnlane pretrain` matches, or several.
        TrackingError: the store cannot be read.
    """
    reference = config.model.init_from
    name = "" if reference is None else reference.removeprefix(RUNS_SCHEME)
    if reference is None or (name.isalnum() and _cached(name).is_dir()):
        return _with_start(config, reference)
    from rnnlane.tracking.store import find_pretrained
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(config.tracking.uri)
    try:
        found = find_pretrained(uri, name)
    except ConfigError as error:
        raise ConfigError(error.message, where=f"{KEY} {reference}", remedy=error.remedy) from None
    return _with_start(config, found.run_id)


def _with_start(config: ExperimentConfig, reference: str | None) -> ExperimentConfig:
    run_id = None if reference is None else reference.removeprefix(RUNS_SCHEME)
    model = config.model.model_copy(update={"init_from": run_id})
    return config.model_copy(update={"model": model})


def fetch_start(config: ExperimentConfig) -> Pretrained | None:
    """The language model that an experiment starts from; None if it starts from none.

    It is fetched from the store once, and kept in ``<home>/pretrained``.

    Args:
        config: as :func:`with_known_start` returned it.

    Raises:
        ConfigError: the experiment has another shape, or other text settings.
        DataError: the language model cannot be read.
        TrackingError: the store cannot be read.
    """
    run_id = config.model.init_from
    if run_id is None:
        return None
    folder = _cached(run_id)
    if not folder.is_dir():
        _fetch(config, run_id, folder)
    from rnnlane.pretraining.bundle import load_pretrained

    start = load_pretrained(folder, config, run_id=run_id)
    hold(folder, owner=start)  # and it was used today
    return start


def _cached(run_id: str) -> Path:
    return home() / FOLDER / run_id


def _fetch(config: ExperimentConfig, run_id: str, folder: Path) -> None:
    from rnnlane.tracking.store import PRETRAINED_PATH, download_artifacts
    from rnnlane.tracking.uris import resolve_uri

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        uri = resolve_uri(config.tracking.uri)
        copied = download_artifacts(uri, run_id, PRETRAINED_PATH, Path(scratch))
        try:
            os.rename(copied, folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                shutil.copytree(copied, folder)
