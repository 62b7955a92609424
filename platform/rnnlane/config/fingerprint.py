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


def config_fingerprint(config: ExperimentConfig) -> str:
    """Identity of what an experiment computes.

    Leaves out ``runtime`` and ``tracking`` (where it runs and is logged), so that a run can be
    resumed with other workers, and ``description``.
    """
    return fingerprint(
        config.model_dump(mode="json", exclude={"runtime", "tracking", "description"})
    )
