"""A trained classifier that predicts the classes of texts.

Models in MLflow name ``rnnlane.inference:Predictor``: that name must stay valid.
"""

from rnnlane.inference.predictor import Predictor

__all__ = ["Predictor"]
