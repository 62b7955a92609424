"""Packages a trained bundle as an MLflow model: text in, label and probabilities out."""

from __future__ import annotations

import importlib.metadata
import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL_PATH = "model"
"""Path of the model in a run's artifacts."""

BUNDLE = "bundle"
BUNDLE_PATH = f"{MODEL_PATH}/artifacts/{BUNDLE}"
"""Path of the bundle that the model was made from."""

_CODE = Path(__file__).with_name("pyfunc_code.py")


def save_model(bundle: Path, folder: Path, *, predictor: str, class_names: tuple[str, ...]) -> None:
    """Writes an MLflow model that contains a copy of the bundle, and no pickle.

    Args:
        bundle: folder that the predictor can load.
        folder: for the model; must be missing or empty.
        predictor: ``module:Class`` with ``load(path)``, see :mod:`rnnlane.tracking.pyfunc_code`;
            imported when the model is loaded, not now.
        class_names: in the order of their labels.
    """
    import mlflow.pyfunc

    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        # MLflow asks for an example input and type hints; the model checks its input itself.
        warnings.filterwarnings("ignore", message="(?s).*input example", category=UserWarning)
        warnings.filterwarnings("ignore", message="(?s).*type hints", category=UserWarning)
        # MLflow keeps a folder's name, and refuses names with # or %.
        copy = shutil.copytree(bundle, Path(scratch) / BUNDLE)
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(_CODE),
            artifacts={BUNDLE: str(copy)},
            model_config={"predictor": predictor},
            signature=_signature(class_names),
            # Without rnnlane: on a public index the name could be a stranger's.
            # To infer them MLflow would load the model in a new process.
            pip_requirements=[_pinned("torch"), _pinned("mlflow")],
        )


def _signature(class_names: tuple[str, ...]) -> ModelSignature:
    """Of the outputs alone: with an input schema, MLflow refuses texts that name no column."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    probabilities = [ColSpec(DataType.double, f"probability_{name}") for name in class_names]
    label = ColSpec(DataType.string, "label")
    known = ColSpec(DataType.long, "num_known_tokens")
    return ModelSignature(outputs=Schema([label, *probabilities, known]))


def _pinned(distribution: str) -> str:
    # A local suffix (2.13.0+cpu) is not on the package index.
    version = importlib.metadata.version(distribution).partition("+")[0]
    return f"{distribution}=={version}"
