"""`rnnlane validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides
from rnnlane.config import ExperimentConfig, config_fingerprint, load_experiment
from rnnlane.errors import DataError

ConfigOnly = Annotated[
    bool,
    typer.Option(
        "--config-only",
        help="Do not look at the source, for files that only the cluster reaches.",
    ),
]


def validate(
    experiment: Experiment,
    overrides: Overrides = None,
    config_only: ConfigOnly = False,
    as_json: Json = False,
) -> None:
    """Check an experiment file and the first rows of its source without starting anything.

    Examples:
        rnnlane validate experiments/demo.yaml
        rnnlane validate tickets.yaml --set training.epochs=3
        rnnlane validate tickets.yaml --config-only
    """
    config = load_experiment(experiment, overrides or ())
    if not config_only:
        _check_source(config)
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


def _check_source(config: ExperimentConfig) -> None:
    from rnnlane.data.sources.base import source_of

    source = source_of(config.data)
    if source.needs_fetch():
        return
    try:
        source.list_files()
    except DataError as error:
        hint = "if only the cluster reaches the files, add --config-only"
        remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise DataError(error.message, where=error.where, remedy=remedy) from None
    source.check_first_rows(config.data.columns, max_repaired=config.data.max_repaired)
