"""The model that MLflow serves. MLflow copies this file into a model, and runs it to load one.

rnnlane never imports it. The predictor that reads the bundle is imported by name: a class with
``load(path)``, whose result has ``class_names`` and ``probabilities(texts) -> float [N, C]``.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class TextClassifier(PythonModel):
    """Classifies texts."""

    def load_context(self, context: Any) -> None:
        """Loads the bundle with the predictor that the model names."""
        predictor = pkgutil.resolve_name(context.model_config["predictor"])
        self._predictor = predictor.load(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Classifies texts.

        Args:
            context: not used.
            model_input: with a column ``text`` of str. MLflow makes one of a dict, a list of dicts
                and a Series called ``text``, and refuses input that does not name its column.
            params: not used.

        Returns:
            A DataFrame with ``label`` and ``probability_<class>`` for each text.
        """
        names = self._predictor.class_names
        probabilities = np.asarray(self._predictor.probabilities(_texts(model_input)))
        probabilities = probabilities.astype(np.float64).reshape(-1, len(names))
        table = {"label": [names[index] for index in probabilities.argmax(axis=1)]}
        columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)}
        return pd.DataFrame({**table, **columns})


def _texts(model_input: Any) -> list[str]:
    cells = model_input["text"] if isinstance(model_input, pd.DataFrame | dict) else model_input
    # MLflow turns the dict {"text": ["first", "second"]} into one row that has a list.
    texts = [text for cell in cells for text in (cell if isinstance(cell, list) else [cell])]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"each text must be a str, but got {text!r} in row {row}")  # noqa: TRY004
    return texts


set_model(TextClassifier())
