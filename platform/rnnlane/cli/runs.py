"""`rnnlane runs`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri, whole_number
from rnnlane.pipeline import list_runs
from rnnlane.records.seeds import plus_minus

if TYPE_CHECKING:
    from rnnlane.tracking.store import RunSummary

Limit = Annotated[
    int,
    typer.Option(
        "--limit", "-n", parser=whole_number(at_least=1), metavar="N", help="Runs to show at most."
    ),
]
MlflowExperiment = Annotated[
    str | None,
    typer.Option("--mlflow-experiment", help="Show only the runs of this MLflow experiment."),
]
Trials = Annotated[
    bool,
    typer.Option(
        "--trials", help="Also show the trials of searches, and each run of several seeds."
    ),
]
ACCURACIES = ("train/accuracy", "val/accuracy", "test/accuracy")
DROPPABLE = ("rows/s", "took", "train", "started")
TITLE = (
    "epoch: the best one so far, whose weights the model has in the end; train, val and test: its "
    "accuracies; of a search, those of its best trial, of several seeds their mean ± standard "
    "deviation"
)


def runs(
    limit: Limit = 20,
    mlflow_experiment: MlflowExperiment = None,
    trials: Trials = False,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Show the newest runs, after sending records that a tracking server has not received.

    Examples:
        rnnlane runs
        rnnlane runs --limit 100 --trials
        rnnlane runs --json
    """
    summaries, num_sent = list_runs(
        tracking_uri=tracking_uri,
        mlflow_experiment=mlflow_experiment,
        limit=limit,
        with_trials=trials,
    )
    if num_sent:
        output.note(f"sent {num_sent} records that the tracking store had not received")
    if as_json:
        output.write_json({"runs": [asdict(run) for run in summaries]})
    elif not summaries:
        output.write("no runs yet; `rnnlane train experiments/demo.yaml` creates one")
    else:
        header = ["run", "name", "status", "started", "took", "epoch"]
        header += ["train", "val", "test", "rows/s"]
        rows = [_row(run) for run in summaries]
        output.write_table(rows, header=header, title=TITLE, droppable=DROPPABLE)


def _row(run: RunSummary) -> list[str]:
    from rnnlane.tracking.store import MODEL_TAG, SEEDS_TAG

    figures = run.best or run.metrics
    # Runs that earlier versions did not finish do not say which epoch was the best.
    epoch = f"{run.best['epoch']:.0f}" if run.best else "newest"
    if MODEL_TAG in run.tags or not set(ACCURACIES) & set(figures):
        # Baselines and ensembles have no epochs, another tool's run maybe no such figures.
        epoch = ""
    accuracies = [f"{figures[key]:.4f}" if key in figures else "" for key in ACCURACIES]
    if SEEDS_TAG in run.tags:
        epoch = _seeds(run)
        accuracies = ["", *(_spread(run, f"{key}/accuracy") for key in ("best/val", "test"))]
    rows_per_s = figures.get("throughput/rows_per_s")
    started = _started(datetime.fromtimestamp(run.started_at), now=datetime.now())
    took = f"{run.duration_s:.0f} s" if run.duration_s is not None else ""
    speed = "" if rows_per_s is None else f"{rows_per_s:,.0f}"
    return [run.run_id[:8], run.name, run.status, started, took, epoch, *accuracies, speed]


def _started(at: datetime, *, now: datetime) -> str:
    """The time of a run of today, else its day: in one piece on a narrow terminal."""
    return at.strftime("%H:%M" if at.date() == now.date() else "%Y-%m-%d")


def _seeds(run: RunSummary) -> str:
    from rnnlane.tracking.store import SEEDS_TAG

    return f"{len(run.tags[SEEDS_TAG].split(','))} seeds"


def _spread(run: RunSummary, key: str) -> str:
    """Mean ± standard deviation, of the seeds that have finished so far."""
    mean = run.metrics.get(key)
    return "" if mean is None else plus_minus(mean, run.metrics.get(f"{key}_std"))
