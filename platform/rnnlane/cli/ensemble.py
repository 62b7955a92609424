"""`rnnlane ensemble`."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import typer

from rnnlane.cli import output
from rnnlane.cli.class_table import sample_rows, write_classes
from rnnlane.cli.options import Json, TrackingUri, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.cli.run_pages import browse_rows, write_pages
from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.pipeline import ensemble as make_ensemble
from rnnlane.tracking.references import check_several

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Two runs or more: of each its id or the start of it, its name, latest, or "
        "models:/NAME@ALIAS.",
    ),
]
Weights = Annotated[
    Literal["val", "mean"],
    typer.Option("--weights", help="val fits the weights on val; mean makes them the same."),
]


def ensemble(
    runs: Runs,
    weights: Weights = "val",
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make one model of several finished runs, and log it as a run.

    It answers with the weighted mean of the logarithms of their probabilities.

    Examples:
        rnnlane ensemble best-cpu best-cpu-baseline
        rnnlane ensemble 1f3e22ab 77c0d2e1 latest --weights mean
    """
    check_several(runs, purpose="an ensemble")
    open_store_and_import("rnnlane.execution.ensemble", tracking_uri=tracking_uri)
    with events_for(verbose=verbose) as events:
        result = make_ensemble(runs, weights=weights, tracking_uri=tracking_uri, events=events)
    if as_json:
        output.write_json(result.as_dict())
        return
    output.write_table(result.member_rows(), header=["run", "weight", "val", "test"])
    store = f" --tracking-uri {shlex.quote(tracking_uri)}" if tracking_uri else ""
    rows = [
        ["macro F1", f"test {result.metrics['test/macro_f1']:.4f}"],
        ["rows", ", ".join(f"{split} {count:,}" for split, count in result.num_rows.items())],
        ["temperature", f"{result.temperature:.3f}"],
        *sample_rows(result.sample, verdict=result.verdict),
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *([["report", result.report]] if result.report else []),
        *browse_rows(result, store=store),
        ["ask", f'rnnlane predict{store} --run {result.run_id[:8]} "a text"'],
    ]
    output.write_table(rows, title="ensemble: finished")
    write_classes(result.classes, result.confused)
    for note in result.notes:
        output.write(f"note: {note}")
    write_pages(result)
