"""`rnnlane validate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides
from rnnlane.config import ExperimentConfig, config_fingerprint, load_experiment
from rnnlane.errors import DataError, MistakesError, RnnlaneError
from rnnlane.models.gpu_speed import slow_on_gpus

ConfigOnly = Annotated[
    bool,
    typer.Option(
        "--config-only",
        help="Do not look at the files that it names, which only the cluster may reach.",
    ),
]


def validate(
    experiment: Experiment,
    overrides: Overrides = None,
    config_only: ConfigOnly = False,
    as_json: Json = False,
) -> None:
    """Check an experiment file and the first rows of its source without starting anything.

    All mistakes are listed, each with its rule, its value and its line.

    Examples:
        rnnlane validate experiments/demo.yaml
        rnnlane validate tickets.yaml --set training.epochs=3
        rnnlane validate tickets.yaml --config-only
    """
    config = load_experiment(experiment, overrides or ())
    mistakes = [] if config_only else [*_mistakes(config)]
    if mistakes:
        raise MistakesError.of(mistakes)
    notes = _gpu_notes(config)
    if as_json:
        output.write_json(
            {
                "valid": True,
                "name": config.name,
                "config_fingerprint": config_fingerprint(config),
                "config": config.model_dump(mode="json"),
                "notes": notes,
            }
        )
        return
    output.write(f"{experiment} is valid: {config.name}, fingerprint {config_fingerprint(config)}")
    if config.search is not None:
        output.write("`rnnlane tune` would vary:")
        for key, variation in config.search.space.items():
            output.write(f"  {key}: {variation}")
    for note in notes:
        output.note(note)


def _gpu_notes(config: ExperimentConfig) -> list[str]:
    """What makes training slow on a GPU, where one is asked for or there is one here."""
    notes = slow_on_gpus(config)
    if not notes or config.runtime.device == "cpu":
        return []
    if config.runtime.device == "auto":
        import torch

        return notes if torch.cuda.is_available() else []
    return notes


def _mistakes(config: ExperimentConfig) -> Iterator[RnnlaneError]:
    """What an experiment names and is not there, or not as it says."""
    checks = (_check_source, _check_stop_words, _check_vectors, _check_store)
    for check in checks:
        try:
            check(config)
        except RnnlaneError as error:
            yield error


def _check_stop_words(config: ExperimentConfig) -> None:
    if config.text.stop_words not in {"off", "english", "english_keep_negations"}:
        from rnnlane.data.prepare.text import load_stop_words

        load_stop_words(config.text.stop_words)


def _check_vectors(config: ExperimentConfig) -> None:
    """Only that there is a file: to read all of it takes time."""
    path = config.model.pretrained_vectors
    if path is not None and not Path(path).is_file():
        from rnnlane.models.vector_files import check_vectors

        check_vectors(path, embedding_dim=config.model.embedding_dim)


def _check_store(config: ExperimentConfig) -> None:
    if config.tracking.uri is not None:
        from rnnlane.tracking.uris import resolve_uri

        resolve_uri(config.tracking.uri)


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
