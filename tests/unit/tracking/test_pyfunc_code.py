from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rnnlane.tracking.pyfunc_code import TextClassifier


class Predictor:
    """Probabilities by the length of a text."""

    class_names = ("short", "long")

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        assert folder == Path("bundle folder")
        return cls()

    def probabilities(self, texts: list[str]) -> Any:
        # As a predictor answers for no texts: without a second dimension.
        return np.array([[0.75, 0.25] if len(text) < 3 else [0.25, 0.75] for text in texts])


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> TextClassifier:
    monkeypatch.setattr("pkgutil.resolve_name", {"module:Predictor": Predictor}.__getitem__)
    classifier = TextClassifier()
    context = SimpleNamespace(
        model_config={"predictor": "module:Predictor"}, artifacts={"bundle": "bundle folder"}
    )
    classifier.load_context(context)
    return classifier


@pytest.mark.parametrize(
    "texts",
    [
        pd.DataFrame({"other": [1, 2], "text": ["a", "abc"]}),
        pd.DataFrame({"text": [["a", "abc"]]}),
        {"text": ["a", "abc"]},
        pd.Series(["a", "abc"]),
    ],
)
def test_each_text_has_its_label_and_probabilities(classifier: TextClassifier, texts: Any) -> None:
    table = classifier.predict(None, texts)
    assert table.to_dict("list") == {
        "label": ["short", "long"],
        "probability_short": [0.75, 0.25],
        "probability_long": [0.25, 0.75],
    }


def test_no_texts_have_no_rows(classifier: TextClassifier) -> None:
    table = classifier.predict(None, pd.DataFrame({"text": []}))
    assert list(table.columns) == ["label", "probability_short", "probability_long"]
    assert len(table) == 0


def test_what_is_no_text_is_refused_with_its_row(classifier: TextClassifier) -> None:
    with pytest.raises(ValueError, match="each text must be a str, but got 7 in row 1"):
        classifier.predict(None, pd.DataFrame({"text": ["a", 7]}))
