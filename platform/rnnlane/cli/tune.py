"""`rnnlane tune`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.cli.run_pages import browse_rows, store_option, write_pages
from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.config import load_experiment
from rnnlane.config.paths import is_job
from rnnlane.errors import ConfigError
from rnnlane.pipeline import tune as tune_experiment
from rnnlane.reports.ablation import HEADS, table_rows

if TYPE_CHECKING:
    from rnnlane.records.results import SearchResult

Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the newest search of this experiment and its data; start one if there is "
        "none.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Also write the winner's experiment there."
    ),
]


def tune(
    experiment: Experiment,
    overrides: Overrides = None,
    resume: Resume = False,
    best: Output = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Search the space of the experiment's `search` section for the best settings.

    Examples:
        rnnlane tune experiments/search-quick.yaml --output best.yaml
        rnnlane tune tickets-search.yaml --set search.num_trials=40 --resume
    """
    config = load_experiment(experiment, list(overrides or ()))
    if best is not None:
        _check_writable(best, experiment)
    if config.search is not None:
        open_store_and_import("rnnlane.search.search", tracking_uri=config.tracking.uri)
    with events_for(verbose=verbose) as events:
        result = tune_experiment(config, resume=resume, events=events)
    if best is not None and result.best_config is not None:
        shutil.copyfile(result.best_config, best)
    if as_json:
        output.write_json(result.as_dict())
    else:
        _show(result, name=config.name, best=best, store=store_option(config, result))
    if result.best is None:
        raise typer.Exit(1)


def _check_writable(file: Path, experiment: str) -> None:
    """Refuses a place for the winner's experiment before hours are spent on finding it."""
    if file.exists() and Path(experiment).exists() and file.samefile(experiment):
        raise ConfigError(
            "the winner's experiment must not replace the file of the search",
            where=f"--output {file}",
            remedy="name another file",
        )
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir():
        problem = "a folder" if file.is_dir() else f"in {folder}, which does not exist"
        raise ConfigError(
            f"the winner's experiment needs the path of a file in a folder, but got {problem}",
            where=f"--output {file}",
            remedy="create the folder, or name a file",
        )


def _show(result: SearchResult, *, name: str, best: Path | None, store: str) -> None:
    trials = (
        f"{result.num_trials}: {result.num_pruned} pruned, {result.num_cut} cut by the time "
        f"budget, {result.num_failed} failed; {result.epochs_trained} epochs in "
        f"{result.elapsed_s:,.0f} s"
    )
    rows = [["trials", trials]]
    if result.best is not None and result.clip is not None:
        rows += [
            ["winner", f"trial {result.best['number']}, {result.best['value']:.4f}"],
            ["", ", ".join(f"{key}={_short(v)}" for key, v in result.best["params"].items())],
            ["clipping", _clipping(result)],
        ]
    if result.ablation is not None:
        rows.append(["recommended", result.ablation["recommended"]])
    if not is_job():  # else `rnnlane submit` names the commands that work where its user is
        if result.best is not None:
            rows.append(["train it", f"rnnlane train {best or result.best_config}"])
        rows.append(["report", result.report])
    rows += [
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *browse_rows(result, store=store),
    ]
    output.write_table(rows, title=f"{name}: finished")
    if result.ablation is not None:
        rows = [list(row) for row in table_rows(result.ablation)]
        output.write_table(rows, header=HEADS, title="the winner with one setting changed")
    write_pages(result)


def _clipping(result: SearchResult) -> str:
    assert result.clip is not None
    max_norm = result.clip["max_norm"]
    if max_norm is None:
        return "none"
    return f"{result.clip['clipped_fraction']:.1%} of steps at {max_norm:.4g}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
