"""Where a finished run can be seen, as every verb that makes one says it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rnnlane.cli import output
from rnnlane.config.paths import is_job

if TYPE_CHECKING:
    from rnnlane.config.experiment import ExperimentConfig
    from rnnlane.records.ensemble import EnsembleResult
    from rnnlane.records.pretraining import PretrainResult
    from rnnlane.records.results import BaselineResult, SearchResult, TrainResult
    from rnnlane.records.seeds import SeedsResult

    RunResult = (
        TrainResult | SeedsResult | BaselineResult | SearchResult | EnsembleResult | PretrainResult
    )


def store_option(config: ExperimentConfig, result: RunResult) -> str:
    """The option, after a space, by which other verbs find the store; "" if they do without.

    They do not read the experiment, which may name one.
    """
    return f" --tracking-uri {shlex.quote(result.tracking_uri)}" if config.tracking.uri else ""


def browse_rows(result: RunResult, *, store: str) -> list[list[str]]:
    """The command that shows the run, for a table; nothing if the store has pages of its own.

    Nor in a job, whose user reads its log on another machine.

    Args:
        result: of the run.
        store: see :func:`store_option`.
    """
    if result.run_url or is_job():
        return []
    return [["browse", f"rnnlane ui{store} --run {result.run_id[:8]}"]]


def write_pages(result: RunResult) -> None:
    """Writes the addresses of the pages, each on a line that nothing breaks: a click opens it."""
    if result.run_url and result.runs_url:
        output.write(f"the run:   {result.run_url}\nall runs:  {result.runs_url}")
