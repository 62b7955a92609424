"""`rnnlane train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.class_table import sample_rows, write_classes
from rnnlane.cli.options import Experiment, Json, Overrides, Verbose, whole_number
from rnnlane.cli.progress import events_for
from rnnlane.cli.run_pages import browse_rows, store_option, write_pages
from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.config import load_experiment
from rnnlane.config.paths import is_job
from rnnlane.pipeline import train as train_experiment
from rnnlane.records.seeds import SHOWN_METRICS, SeedsResult, plus_minus, seed_table

if TYPE_CHECKING:
    from rnnlane.records.results import TrainResult

Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        parser=whole_number(at_least=0),
        metavar="N",
        help="Same as --set runtime.num_workers=N; 0: in this process.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the newest run of this experiment and its data; start one if there is none.",
    ),
]


def train(
    experiment: Experiment,
    overrides: Overrides = None,
    workers: Workers = None,
    resume: Resume = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Prepare the data, train on DDP workers, test, and log the run and its model.

    With training.seeds 3 that is done with three seeds, whose mean and spread are logged too.

    Examples:
        rnnlane train experiments/demo.yaml
        rnnlane train tickets.yaml --set training.seeds=3
        rnnlane train tickets.yaml --set training.epochs=3 --workers 0
        rnnlane train tickets.yaml --resume
    """
    settings = list(overrides or ())
    if workers is not None:
        settings.append(f"runtime.num_workers={workers}")
    config = load_experiment(experiment, settings)
    open_store_and_import("rnnlane.execution.run", tracking_uri=config.tracking.uri)
    with events_for(verbose=verbose) as events:
        result = train_experiment(config, resume=resume, events=events)
    if as_json:
        output.write_json(result.as_dict())
    elif isinstance(result, SeedsResult):
        _show_seeds(result, name=config.name, store=store_option(config, result))
    else:
        _show(result, name=config.name, store=store_option(config, result))


def _show(result: TrainResult, *, name: str, store: str) -> None:
    best, last = result.metrics["best"], result.metrics["last"]
    max_norm = result.clip["max_norm"]
    epoch = f"epoch {result.best_epoch} of {result.epochs}"
    if result.refit:
        epoch += "; test: after the refit"
    rows = [
        [
            "accuracy",
            f"train {best['train/accuracy']:.4f}   val {best['val/accuracy']:.4f}   "
            f"test {best['test/accuracy']:.4f}   ({epoch})",
        ],
        [
            "macro F1",
            f"val {best['val/macro_f1']:.4f}   test {best['test/macro_f1']:.4f}",
        ],
        ["speed", f"{last['throughput/rows_per_s']:,.0f} rows/s in training"],
        [
            "clipping",
            f"{result.clip['clipped_fraction']:.1%} of steps at {max_norm:.4g}"
            if max_norm is not None
            else "none",
        ],
        *sample_rows(result.sample, verdict=result.verdict),
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *browse_rows(result, store=store),
        *_file_rows(result, store=store),
    ]
    output.write_table(rows, title=f"{name}: finished")
    write_classes(result.classes, result.confused)
    for note in result.notes:
        output.write(f"note: {note}")
    write_pages(result)


def _show_seeds(result: SeedsResult, *, name: str, store: str) -> None:
    rows = [
        [shown, plus_minus(result.metrics[key]["mean"], result.metrics[key]["std"])]
        for key, shown in SHOWN_METRICS.items()
        if key in result.metrics
    ]
    rows += [
        ["best on val", f"seed {result.best_seed} (by {result.metric}), whose model is asked"],
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *browse_rows(result, store=store),
        *_file_rows(result, store=store),
    ]
    title = f"{name}: finished, mean ± standard deviation of {result.num_seeds} seeds"
    output.write_table(rows, title=title)
    header, seeds = seed_table(result.seeds)
    output.write_table(seeds, header=header)
    for note in result.notes:
        output.write(f"note: {note}")
    write_pages(result)


def _file_rows(result: TrainResult | SeedsResult, *, store: str) -> list[list[str]]:
    """What is on this disk, and how to ask the model; else `rnnlane submit` says where it is."""
    if is_job():
        return []
    return [
        *([["report", result.report]] if result.report else []),
        ["files", result.run_folder],
        ["ask", f'rnnlane predict{store} --run {result.run_id[:8]} "a text"'],
    ]
