"""A trained classifier that predicts the classes of texts.

Models in MLflow name ``rnnlane.inference:Predictor``: that name must stay valid.
"""

from typing import Any

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    # Not at import: the predictor imports torch, which comparing runs does without.
    if name == "Predictor":
        from rnnlane.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
