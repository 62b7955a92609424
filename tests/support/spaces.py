"""Search spaces, and experiments that have them."""

import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.errors import ConfigError

LAYERS = {"model.num_layers": "randint(1, 3)"}
DROPOUT = {"model.dropout": {"uniform": [0, 0.5], "when": {"model.num_layers": [2, 3]}}}
WIDE = {
    "training.clip.of_mean": {"loguniform": [0.25, 8], "when": {"training.clip.policy": ["auto"]}},
    "training.clip.max_norm": {"steps": [1, 5, 2], "when": {"training.clip.policy": ["fixed"]}},
    "training.clip.policy": "choice(none, fixed, auto)",
    **DROPOUT,
    **LAYERS,
    "model.cell": "choice(rnn, lstm, gru)",
    "model.hidden_size": "steps(16, 128, 16)",
    "model.embedding_dim": "choice(16, 32)",
    "model.bidirectional": "choice(true, false)",
    "model.pooling": "choice(last, mean, max)",
    "training.optimizer": "choice(adam, sgd)",
    "training.momentum": {"choice": [0.0, 0.9], "when": {"training.optimizer": ["sgd"]}},
    "training.learning_rate": "loguniform(1e-4, 1e-2)",
}


def mapping(space: dict, *, values: dict | None = None, **search: object) -> dict:
    source = {"kind": "generated"}
    return {
        "name": "x",
        "data": {"source": source},
        **(values or {}),
        "search": {"space": space, **search},
    }


def experiment(space: dict, **keywords: object) -> ExperimentConfig:
    return experiment_from_mapping(mapping(space, **keywords))


def refusal(space: dict, **keywords: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        experiment(space, **keywords)
    return caught.value
