"""The experiment file: model, loading, fingerprint. Imports neither torch nor ray nor mlflow."""

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import config_fingerprint, fingerprint
from rnnlane.config.load import experiment_from_mapping, load_experiment

__all__ = [
    "ExperimentConfig",
    "config_fingerprint",
    "experiment_from_mapping",
    "fingerprint",
    "load_experiment",
]
