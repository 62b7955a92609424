"""A SQLite store, and a packaged model to log in it."""

from pathlib import Path

from rnnlane.tracking.client import open_client
from rnnlane.tracking.packaging import Served, save_model

EXPERIMENT = "1"
"""Id of the experiment that :func:`make_store` makes."""


def make_store(folder: Path) -> str:
    """The address of a new store, which keeps all of its files in a folder."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    # The experiment that MLflow makes itself keeps its artifacts in the working directory.
    open_client(uri).create_experiment("models", artifact_location=str(folder / "artifacts"))
    return uri


def make_model(folder: Path) -> Path:
    """The folder of a packaged model of two classes, whose bundle is one file."""
    (folder / "bundle").mkdir()
    (folder / "bundle" / "word.txt").write_text("good")
    save_model(folder / "bundle", folder / "model", Served("m:C", ("neg", "pos")))
    return folder / "model"
