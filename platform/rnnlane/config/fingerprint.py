"""Short, stable digests of plain values: the identity of runs and of prepared data."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rnnlane.config.experiment import ExperimentConfig


def fingerprint(value: Any) -> str:
    """Digest of a JSON-like value: 16 hex digits, the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_NOT_COMPUTED = {"runtime", "tracking", "description", "baseline", "pretraining"}
# Of the shape of a model, what a language model shares with a classifier.
SHAPE = ("cell", "embedding_dim", "hidden_size", "num_layers", "bidirectional")
# Newer than runs that may still be continued: at its default such a key is left out, so that an
# experiment without it is what it was before there was the key.
_ADDED = (
    "baseline.refit",
    "data.columns.group",
    "model.init_from",
    "model.ngrams",
    "training.adversarial",
    "training.ema",
    "training.gradual_unfreezing",
    "training.label_smoothing",
    "training.layer_rate_decay",
    "training.refit",
)
_BUDGETS = {
    "ablation",
    "num_trials",
    "time_budget_s",
    "workers_per_trial",
    "cpus_per_worker",
    "gpus_per_worker",
    "max_concurrent",
    "max_retries",
}


def config_fingerprint(config: ExperimentConfig) -> str:
    """Identity of what an experiment computes.

    Leaves out ``runtime`` and ``tracking`` (where it runs and is logged), so that a run can be
    resumed with other workers, ``baseline``, ``search``, ``pretraining`` and ``description``; and
    ``training.seeds``: what each seed computes is what it computes alone.
    """
    computed = _computed(config, exclude=_NOT_COMPUTED | {"search"})
    del computed["training"]["seeds"]
    return fingerprint(computed)


def seeds_fingerprint(config: ExperimentConfig) -> str:
    """Identity of the runs of several seeds together.

    Leaves out how many there are, so that more of them can be added.
    """
    return fingerprint({"experiment": config_fingerprint(config), "has_seeds": True})


def pretraining_fingerprint(config: ExperimentConfig) -> str:
    """Identity of what `rnnlane pretrain` computes of an experiment."""
    read = {"name", "data", "text", "pretraining"}
    computed = config.model_dump(mode="json", include=read)
    del computed["data"]["feed"]
    shape = {key: getattr(config.model, key) for key in SHAPE}
    seeds = [config.seed, config.training_seed]
    return fingerprint({"kind": "pretraining", **computed, "model": shape, "seeds": seeds})


def baseline_fingerprint(config: ExperimentConfig) -> str:
    """Identity of an experiment's baseline; does not depend on model or training settings."""
    fitted = {"name", "seed", "data", "text", "inference", "baseline", "sample_text"}
    return fingerprint(_computed(config, include=fitted))


def search_fingerprint(config: ExperimentConfig) -> str:
    """Identity of a search: of its experiment, and how keys vary.

    Leaves out its budgets and its ablation, so that a search can be resumed with more trials or
    time, or to compare its winner.
    """
    assert config.search is not None
    search = config.search.model_dump(mode="json", exclude=_BUDGETS)
    return fingerprint({"experiment": config_fingerprint(config), "search": search})


def _computed(
    config: ExperimentConfig, *, include: set[str] | None = None, exclude: set[str] | None = None
) -> dict[str, Any]:
    """Sections of an experiment as plain values, without newer keys that are at their defaults.

    And without the unlabeled texts where no classifier reads them, and without how train is read,
    which may be left to the memory that nodes have.
    """
    plain = config.model_dump(mode="json", include=include, exclude=exclude)
    for key in ("feed",) if config.training.reads_unlabeled else ("feed", "unlabeled"):
        plain.get("data", {}).pop(key, None)
    for key in _ADDED:
        *parts, name = key.split(".")
        section: Any = config
        values = plain
        for part in parts:
            section, values = getattr(section, part), values.get(part, {})
        if getattr(section, name) == type(section).model_fields[name].get_default():
            values.pop(name, None)
    return plain
