"""`rnnlane evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rnnlane.cli import output
from rnnlane.cli.class_table import MAX_CLASSES, write_classes, write_confused
from rnnlane.cli.options import Device, Json, Overrides, Run, TrackingUri, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.config import load_experiment
from rnnlane.errors import ConfigError
from rnnlane.pipeline import evaluate as evaluate_run

if TYPE_CHECKING:
    from rnnlane.records.results import Evaluation

OptionalExperiment = Annotated[
    str | None,
    typer.Argument(metavar="EXPERIMENT", help="Experiment file; default: the run's own."),
]
SplitName = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option("--split", help="Which rows to score; default: test."),
]
LabeledFile = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="Score the rows of this labeled file (.csv, .tsv, .jsonl or .parquet) instead; its "
        "columns are named as in the experiment.",
    ),
]


def evaluate(  # noqa: PLR0913, PLR0917 - each is an option
    experiment: OptionalExperiment = None,
    run: Run = "latest",
    split: SplitName = None,
    data: LabeledFile = None,
    overrides: Overrides = None,
    device: Device = "auto",
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Score the model of a run on a split of the data it was trained on, or on another file.

    Examples:
        rnnlane evaluate --run latest --split val
        rnnlane evaluate --run 1a2b3c4d --data labeled.csv
    """
    if split is not None and data is not None:
        raise ConfigError(
            "either a split of the run's data is scored or another file, but got both",
            where="command line",
            remedy="leave out --split or --data",
        )
    if overrides and experiment is None:
        raise ConfigError(
            "--set needs an experiment file to act on, but none was given",
            where="command line",
            remedy="name the experiment before --run",
        )
    config = load_experiment(experiment, overrides or ()) if experiment else None
    with events_for(verbose=verbose) as events:
        scores = evaluate_run(
            config,
            run=run,
            split=split or "test",
            data=data,
            device=device,
            tracking_uri=tracking_uri,
            events=events,
        )
    if as_json:
        output.write_json(scores.as_dict())
        return
    _show(scores)


def _show(scores: Evaluation) -> None:
    rows = [[name, f"{value:.4f}"] for name, value in scores.metrics.items()]
    output.write_table(
        rows, title=f"run {scores.run_id[:8]}, {scores.split}: {scores.num_rows:,} rows"
    )
    write_classes(scores.classes, scores.confused, split=scores.split, shows_all=True)
    header = ["true \\ predicted", *scores.class_names]
    matrix = [
        [name, *map(str, counts)]
        for name, counts in zip(scores.class_names, scores.confusion, strict=True)
    ]
    if len(matrix) <= MAX_CLASSES:
        if output.fits(matrix, header=header):
            output.write_table(matrix, header=header)
        else:
            write_confused(scores.confused, split=scores.split)
    for note in scores.notes:
        output.write(f"note: {note}")
