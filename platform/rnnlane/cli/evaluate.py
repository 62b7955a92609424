"""`rnnlane evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, Overrides, Run, TrackingUri, Verbose
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
MAX_MATRIX_CLASSES, NUM_PAIRS_SHOWN = 12, 10


def evaluate(  # noqa: PLR0913, PLR0917 - each is an option
    experiment: OptionalExperiment = None,
    run: Run = "latest",
    split: SplitName = None,
    data: LabeledFile = None,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Score the model of a run on a split of the data it was trained on, or on another file."""
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
            tracking_uri=tracking_uri,
            events=events,
        )
    if as_json:
        output.write_json(scores.as_dict())
        return
    _show(scores)


def _show(scores: Evaluation) -> None:
    rows = [[name, f"{value:.4f}"] for name, value in scores.metrics.items()]
    output.write_table(rows, title=f"run {scores.run_id}, {scores.split}: {scores.num_rows:,} rows")
    classes = [
        [
            each["class"],
            _share(each["precision"]),
            _share(each["recall"]),
            _share(each["f1"]),
            f"{each['rows']:,}",
        ]
        for each in scores.classes
    ]
    output.write_table(classes, header=["class", "precision", "recall", "f1", "rows"])
    header = ["true \\ predicted", *scores.class_names]
    matrix = [
        [name, *map(str, counts)]
        for name, counts in zip(scores.class_names, scores.confusion, strict=True)
    ]
    if len(matrix) <= MAX_MATRIX_CLASSES and output.fits(matrix, header=header):
        output.write_table(matrix, header=header)
        return
    pairs = [
        [true, predicted, f"{count:,}"]
        for true, predicted, count in scores.most_confused(NUM_PAIRS_SHOWN)
    ]
    if pairs:
        title = "the classes that are most often taken for another"
        output.write_table(pairs, header=["true", "predicted", "rows"], title=title)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
