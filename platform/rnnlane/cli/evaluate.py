"""`rnnlane evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, Overrides, Run, TrackingUri, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.config import load_experiment
from rnnlane.errors import ConfigError
from rnnlane.pipeline import evaluate as evaluate_run

OptionalExperiment = Annotated[
    str | None,
    typer.Argument(metavar="[EXPERIMENT]", help="Experiment file; default: the run's own."),
]
SplitName = Annotated[
    Literal["train", "val", "test"], typer.Option("--split", help="Which rows to score.")
]


def evaluate(
    experiment: OptionalExperiment = None,
    run: Run = "latest",
    split: SplitName = "test",
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Score the model of a run on a split of the data it was trained on."""
    if overrides and experiment is None:
        raise ConfigError(
            "--set needs an experiment file to act on, but none was given",
            where="command line",
            remedy="name the experiment before --run",
        )
    config = load_experiment(experiment, overrides or ()) if experiment else None
    with events_for(verbose=verbose) as events:
        scores = evaluate_run(
            config, run=run, split=split, tracking_uri=tracking_uri, events=events
        )
    if as_json:
        output.write_json(scores.as_dict())
        return
    rows = [[name, f"{value:.4f}"] for name, value in scores.metrics.items()]
    output.write_table(rows, title=f"run {scores.run_id}, {scores.split}: {scores.num_rows:,} rows")
    header = ["true \\ predicted", *scores.class_names]
    table = [
        [name, *map(str, counts)]
        for name, counts in zip(scores.class_names, scores.confusion, strict=True)
    ]
    output.write_table(table, header=header)
