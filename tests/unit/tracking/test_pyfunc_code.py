from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

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

    def predict(self, texts: list[str]) -> Any:
        # Without a second dimension where there are no texts.
        return SimpleNamespace(
            probabilities=[[0.75, 0.25] if len(text) < 3 else [0.25, 0.75] for text in texts],
            num_known_tokens=[len(text) for text in texts],
        )


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> TextClassifier:
    monkeypatch.setattr("pkgutil.resolve_name", {"module:Predictor": Predictor}.__getitem__)
    classifier = TextClassifier()
    context = SimpleNamespace(
        model_config={"predictor": "module:Predictor"}, artifacts={"bundle": "bundle folder"}
    )
    classifier.load_context(context)
    return classifier


def test_the_predictor_that_the_model_names_answers(classifier: TextClassifier) -> None:
    table = classifier.predict(None, pd.DataFrame({"other": [1, 2], "text": ["a", "abc"]}))
    assert table.to_dict("list") == {
        "label": ["short", "long"],
        "probability_short": [0.75, 0.25],
        "probability_long": [0.25, 0.75],
        "num_known_tokens": [1, 3],
    }


def test_no_texts_have_no_rows(classifier: TextClassifier) -> None:
    table = classifier.predict(None, pd.DataFrame({"text": []}))
    assert list(table.columns)[:3] == ["label", "probability_short", "probability_long"]
    assert len(table) == 0
