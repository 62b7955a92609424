"""Packages a trained bundle as an MLflow model: text in, label and probabilities out."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rnnlane.tracking.internals import check_own_input
from rnnlane.tracking.wheel import build_wheel

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

logger = logging.getLogger(__name__)

MODEL_PATH = "model"
"""Name of a run's model: ``runs:/RUN/model``."""

BUNDLE = "bundle"
BUNDLE_PATH = f"artifacts/{BUNDLE}"
"""Path, within a model, of the bundle that it was made from."""

WHEELS = "wheels"
COLUMN = "text"
"""The column of a table of texts, as in ``pyfunc_code.py``."""

DEFAULT_EXAMPLE = "A text to classify."
_CODE = Path(__file__).with_name("pyfunc_code.py")
# What answers depend on; the wheel names the other packages with ranges.
_PINNED = ("torch", "mlflow", "nltk", "regex")


@dataclass(frozen=True)
class Served:
    """What a model is served with.

    Attributes:
        predictor: ``module:Class`` with ``load(path)``, see :mod:`rnnlane.tracking.pyfunc_code`;
            imported when the model is loaded, not now.
        class_names: in the order of their labels.
        example: a text that shows what goes in.
    """

    predictor: str
    class_names: tuple[str, ...]
    example: str = DEFAULT_EXAMPLE


def save_model(bundle: Path, folder: Path, served: Served) -> None:
    """Writes an MLflow model that holds a copy of the bundle and rnnlane's wheel, and no pickle.

    Args:
        bundle: folder that the predictor can load.
        folder: for the model; must be missing or empty.
        served: see there.
    """
    import mlflow.pyfunc

    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The model checks its input itself.
        warnings.filterwarnings("ignore", message="(?s).*type hints", category=UserWarning)
        # MLflow keeps a folder's name, and refuses names with # or %.
        copy = shutil.copytree(bundle, Path(scratch) / BUNDLE)
        wheel = _wheel(Path(scratch))
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(_CODE),
            artifacts={BUNDLE: str(copy)},
            model_config={"predictor": served.predictor},
            signature=_signature(served.class_names),
            input_example=[{COLUMN: served.example}],
            # To infer them MLflow would load the model in a new process.
            pip_requirements=_requirements(wheel),
        )
        if wheel is not None:
            (folder / WHEELS).mkdir()
            shutil.copy(wheel, folder / WHEELS)


def _wheel(folder: Path) -> Path | None:
    try:
        return build_wheel(folder)
    except importlib.metadata.PackageNotFoundError:
        logger.warning(
            "rnnlane runs without the metadata of an installation, so that its wheel cannot be "
            "made: the model can be loaded only where rnnlane is installed"
        )
        return None


def _requirements(wheel: Path | None) -> list[str]:
    """Of the model's environment; pip resolves the wheel's path against the model's folder."""
    # A path, because on a public index the name rnnlane could be a stranger's.
    own = [] if wheel is None else [f"{WHEELS}/{wheel.name}"]
    return [*own, *(_pinned(name) for name in _PINNED)]


def _signature(class_names: tuple[str, ...]) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    probabilities = [ColSpec(DataType.double, f"probability_{name}") for name in class_names]
    label = ColSpec(DataType.string, "label")
    known = ColSpec(DataType.long, "num_known_tokens")
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string, COLUMN)]),
        outputs=Schema([label, *probabilities, known]),
    )
    check_own_input(signature)
    return signature


def _pinned(distribution: str) -> str:
    # A local suffix (2.13.0+cpu) is not on the package index.
    version = importlib.metadata.version(distribution).partition("+")[0]
    return f"{distribution}=={version}"
