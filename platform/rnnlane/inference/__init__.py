"""A trained classifier that answers for texts.

Models in MLflow name ``rnnlane.inference:Predictor``: that address must stay valid.
"""

from rnnlane.inference.predictor import Predictor

__all__ = ["Predictor"]
