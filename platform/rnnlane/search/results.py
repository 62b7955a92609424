"""What a search leaves: the winner's experiment, the evidence, and the answer."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.space import trial_experiment
from rnnlane.errors import redact
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.search_figures import write_pictures
from rnnlane.reports.search_report import report_html, trials_csv
from rnnlane.tracking.search import SearchTracker


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        run_id: MLflow's, of the search.
        tracking_uri: the MLflow store, without passwords.
        best: params, metrics, run_id and number of the trial that won; None where all failed.
        num_trials: trials that were started; seeds of finalists are not counted.
        num_pruned: of these, cut short by the scheduler.
        num_cut: cut short by the time budget.
        num_failed: failed.
        epochs_trained: over all trials and seeds.
        elapsed_s: seconds of searching, over all attempts.
        clip: of the winner: mean_norm, max_norm, clipped_fraction.
        best_config: path of the winner's experiment; None where all failed.
        report: path of the report.
        run_folder: the search's local files.
        is_tracked: whether the store has everything; else the rest waits in the outbox.
    """

    run_id: str
    tracking_uri: str
    best: dict[str, Any] | None
    num_trials: int
    num_pruned: int
    num_cut: int
    num_failed: int
    epochs_trained: int
    elapsed_s: float
    clip: dict[str, Any] | None
    best_config: str | None
    report: str
    run_folder: str
    is_tracked: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


@dataclass(frozen=True)
class SearchFiles:
    """Where the files of a search are; no best_config where every trial failed."""

    report: Path
    best_config: Path | None


def write_search_results(
    folder: Path, config: ExperimentConfig, found: SearchRecord, *, record: RunRecord
) -> SearchFiles:
    """Writes the winner's experiment, the table of all trials, the pictures and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    best_config = None
    text = ""
    if found.winner is not None:
        text = best_yaml(config, found, run_id=record.run_id)
        best_config = folder / "best.yaml"
        best_config.write_text(text, encoding="utf-8")
    (folder / "trials.csv").write_text(trials_csv(found), encoding="utf-8")
    pictures = write_pictures(found, folder / "figures")
    report = folder / "report.html"
    report.write_text(report_html(found, pictures, best_yaml=text), encoding="utf-8")
    return SearchFiles(report=report, best_config=best_config)


def best_yaml(config: ExperimentConfig, found: SearchRecord, *, run_id: str | None) -> str:
    """The winner's experiment, complete and runnable, with a comment that says what it is."""
    winner = found.winner
    assert winner is not None
    experiment = trial_experiment(config, dict(winner.params))
    experiment = experiment.model_copy(update={"name": f"{config.name[:75]}-best"})
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [
        f"Found by `rnnlane tune` on {when}: the winner of the search {config.name}, MLflow run "
        f"{run_id}.",
        f"Trial {winner.number} of {len(found.trials)}: {found.metric} {winner.value:.4f} at epoch "
        f"{winner.best_epoch}{_seeds_note(winner)}.",
        f"Varied: {json.dumps(dict(winner.params))}.",
        _clip_note(winner),
        "Train it with: rnnlane train best.yaml",
    ]
    return "".join(f"# {line}\n" for line in lines) + resolved_yaml(experiment)


def describe_result(
    found: SearchRecord,
    files: SearchFiles,
    *,
    record: RunRecord,
    tracker: SearchTracker,
    is_tracked: bool,
) -> SearchResult:
    """The answer of the search."""
    winner = found.winner
    return SearchResult(
        run_id=tracker.parent.run_id,
        tracking_uri=redact(tracker.parent.tracking_uri),
        best=None if winner is None else _describe(winner, tracker),
        num_trials=len(found.trials),
        num_pruned=found.count("pruned"),
        num_cut=found.count("cut"),
        num_failed=found.count("failed"),
        epochs_trained=found.epochs_trained,
        elapsed_s=found.elapsed_s,
        clip=None
        if winner is None
        else {
            "mean_norm": winner.mean_norm,
            "max_norm": winner.clip_norm,
            "clipped_fraction": winner.clipped_fraction,
        },
        best_config=None if files.best_config is None else str(files.best_config),
        report=str(files.report),
        run_folder=str(record.folder),
        is_tracked=is_tracked,
    )


def _describe(winner: TrialRecord, tracker: SearchTracker) -> dict[str, Any]:
    assert winner.best_epoch is not None
    return {
        "number": winner.number,
        "params": dict(winner.params),
        "value": winner.score,
        "seed_values": list(winner.seed_values),
        "best_epoch": winner.best_epoch,
        "metrics": dict(winner.history[winner.best_epoch - 1]),
        "run_id": tracker.trial_ids().get(winner.key),
    }


def _seeds_note(winner: TrialRecord) -> str:
    if not winner.seed_values:
        return ""
    values = ", ".join(f"{value:.4f}" for value in winner.seed_values)
    return f"; with {len(winner.seed_values)} seeds {values}"


def _clip_note(winner: TrialRecord) -> str:
    if winner.clip_norm is None:
        return "Gradients were not clipped."
    mean = "" if winner.mean_norm is None else f"mean gradient norm {winner.mean_norm:.4g}, "
    return (
        f"Clip value in force: {winner.clip_norm:.4g} ({mean}"
        f"{winner.clipped_fraction:.1%} of the steps clipped)."
    )
