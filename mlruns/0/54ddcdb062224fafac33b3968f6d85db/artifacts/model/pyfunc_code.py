"""The model that MLflow serves. MLflow copies this file into a model, and runs it to load one.

rnnlane never imports it. The predictor that reads the bundle is imported by name: a class with
``load(path)``, whose result has ``class_names`` and ``predict(texts)``, which gives
``probabilities`` float [N, C] and ``num_known_tokens`` int [N].
"""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

COLUMN = "text"


class TextClassifier(PythonModel):
    """Classifies texts."""

    def load_context(self, context: Any) -> None:
        """Loads the bundle with the predictor that the model names."""
        predictor = pkgutil.resolve_name(context.model_config["predictor"])
        self._predictor = predictor.load(Path(context.artifacts["bundle"]))

    # MLflow warns, whenever the model is loaded, of any other type that is not `list[...]`.
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Classifies texts.

        Args:
            context: not used.
            model_input: a DataFrame with a column ``text``, or what stands for one (a dict, a list
                of dicts); or texts alone: a list, an array, a Series, or one str.
            params: not used.

        Returns:
            A DataFrame with the input's index. For each text ``label``, ``probability_<class>``
            and ``num_known_tokens``: how many of the tokens that were read the model knows; where
            it is 0, the answer says nothing about the text.

        Raises:
            ValueError: there is no column ``text``, or a text is missing or no str.
        """
        texts = _texts(model_input)
        names = self._predictor.class_names
        answer = self._predictor.predict(texts.to_list())
        probabilities = np.asarray(answer.probabilities, dtype=np.float64).reshape(-1, len(names))
        table = {"label": [names[index] for index in probabilities.argmax(axis=1)]}
        columns = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)}
        known = {"num_known_tokens": np.asarray(answer.num_known_tokens, dtype=np.int64)}
        return pd.DataFrame({**table, **columns, **known}, index=texts.index)


def _texts(given: Any) -> pd.Series:
    """The texts, with the index of the input."""
    if isinstance(given, pd.DataFrame):
        return _checked(_text_column(given))
    if isinstance(given, dict):
        columns = {key: _as_column(value) for key, value in given.items()}
        return _texts(pd.DataFrame(columns))
    if isinstance(given, list | tuple) and given and all(isinstance(row, dict) for row in given):
        return _texts(pd.DataFrame(list(given)))
    if isinstance(given, pd.Series):
        return _checked(given)
    return _checked(pd.Series(_as_list(given), dtype=object))


def _text_column(table: pd.DataFrame) -> pd.Series:
    columns = list(table.columns)
    # What pandas and Spark make of texts alone: one column that has a number for a name.
    name = columns[0] if columns in ([0], ["0"]) else COLUMN
    if columns.count(name) != 1:
        found = f"{columns.count(name)} columns" if name in columns else "no column"
        raise ValueError(
            f"the input must have one column {COLUMN!r}, but there is {found} of that name "
            f"among {columns}; rename the column that holds the texts"
        )
    return table[name]


def _as_column(values: Any) -> Any:
    return values if isinstance(values, pd.Series) else _as_list(values)


def _as_list(values: Any) -> list[Any]:
    """One text, or a sequence of texts."""
    if isinstance(values, np.ndarray):
        if values.size != max(values.shape, default=1):
            raise ValueError(
                f"an array of texts must have one column, but its shape is {values.shape}"
            )
        return values.ravel().tolist()
    return [values] if isinstance(values, str | bytes) or not np.iterable(values) else list(values)


def _checked(texts: pd.Series) -> pd.Series:
    missing = texts.index[texts.isna()]
    if len(missing):
        raise ValueError(
            f"each text must be a str, but {len(missing)} of {len(texts)} are missing (None or "
            f"NaN), the first at index {missing[0]!r}; drop or fill them first"
        )
    for index, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004
                f"each text must be a str, but got {text!r} at index {index!r}"
            )
    return texts


set_model(TextClassifier())
