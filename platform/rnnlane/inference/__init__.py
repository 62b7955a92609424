"""A trained classifier that predicts the classes of texts.

Models in MLflow name ``rnnlane.inference:Predictor`` or ``EnsemblePredictor``: these names must
stay valid.
"""

from typing import Any

__all__ = ["EnsemblePredictor", "Predictor"]


def __getattr__(name: str) -> Any:
    # Not at import: the predictor imports torch, which comparing runs does without.
    if name == "Predictor":
        from rnnlane.inference.predictor import Predictor

        return Predictor
    if name == "EnsemblePredictor":
        from rnnlane.inference.ensemble import EnsemblePredictor

        return EnsemblePredictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
