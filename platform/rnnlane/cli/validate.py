"""`rnnlane validate`."""

from __future__ import annotations

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides
from rnnlane.config import config_fingerprint, load_experiment


def validate(experiment: Experiment, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check an experiment file without starting anything."""
    config = load_experiment(experiment, overrides or ())
    if as_json:
        output.write_json(
            {
                "valid": True,
                "name": config.name,
                "config_fingerprint": config_fingerprint(config),
                "config": config.model_dump(mode="json"),
            }
        )
        return
    output.write(f"{experiment} is valid: {config.name}, fingerprint {config_fingerprint(config)}")
    if config.search is not None:
        output.write("`rnnlane tune` would vary:")
        for key, variation in config.search.space.items():
            output.write(f"  {key}: {variation}")
