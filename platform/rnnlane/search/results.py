"""The results of a search: the winner's experiment, the report, and what the verb returns."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.space import search_of, trial_experiment
from rnnlane.errors import redact
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.results import SearchResult
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.ablation import recommendation
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.optional import optional
from rnnlane.reports.search_figures import write_pictures
from rnnlane.reports.search_report import report_html, trials_csv
from rnnlane.tracking.run_links import SEARCH_RUN_TAG
from rnnlane.tracking.search import SearchTracker


@dataclass(frozen=True)
class SearchFiles:
    """The files of a search; ``best_config`` is None if every trial failed."""

    report: Path
    best_config: Path | None


def write_search_results(
    folder: Path, config: ExperimentConfig, search: SearchRecord, *, record: RunRecord
) -> SearchFiles:
    """Writes the winner's experiment, the table of all trials, the pictures and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    best_config = None
    text = ""
    if search.winner is not None:
        text = best_yaml(config, search, run_id=record.run_id)
        best_config = folder / "best.yaml"
        best_config.write_text(text, encoding="utf-8")
    (folder / "trials.csv").write_text(trials_csv(search), encoding="utf-8")
    pictures = write_pictures(search, folder / "figures")
    report = folder / "report.html"
    with optional("report.html"):
        report.write_text(report_html(search, pictures, best_yaml=text), encoding="utf-8")
    return SearchFiles(report=report, best_config=best_config)


def best_yaml(config: ExperimentConfig, search: SearchRecord, *, run_id: str | None) -> str:
    """The winner's experiment, complete and runnable, with a comment that explains it.

    With an ablation, that of the setting which it recommends.
    """
    winner = search.winner
    assert winner is not None
    chosen = None if search.ablation is None else search.ablation.recommended
    experiment = trial_experiment(config, dict(winner.params if chosen is None else chosen.params))
    tracking = experiment.tracking
    if run_id is not None:
        tags = {**tracking.tags, SEARCH_RUN_TAG: run_id}
        tracking = tracking.model_copy(update={"tags": tags})
    training = experiment.training.model_copy(update={"refit": config.training.refit})
    changes = {"training": training, "name": f"{config.name[:75]}-best", "tracking": tracking}
    experiment = experiment.model_copy(update=changes)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    is_changed = chosen is not None and chosen.params != winner.params
    lines = [
        f"Found by `rnnlane tune` on {when}: the winner of the search {config.name}, MLflow run "
        f"{run_id}{', with one setting changed' if is_changed else ''}.",
        f"Trial {winner.number} of {len(search.trials)}: {search.metric} {winner.value:.4f} at "
        f"epoch {winner.best_epoch}{_seeds_note(winner)}.",
        f"Varied: {json.dumps(dict(winner.params))}.",
        *([] if is_changed else [_clip_note(winner)]),
        *([] if search.ablation is None else [recommendation(search.ablation, search.metric)]),
        "Train it with `rnnlane train` and the name of this file.",
        *_workers_note(config, experiment),
    ]
    return "".join(f"# {line}\n" for line in lines) + resolved_yaml(experiment)


def describe_result(
    config: ExperimentConfig,
    search: SearchRecord,
    files: SearchFiles,
    is_tracked: bool,
    *,
    record: RunRecord,
    tracker: SearchTracker,
) -> SearchResult:
    """The result of the search, given whether the store has received everything."""
    winner = search.winner
    return SearchResult(
        run_id=tracker.run_id,
        tracking_uri=redact(tracker.tracking_uri),
        run_url=tracker.pages.run,
        runs_url=tracker.pages.runs,
        best=None if winner is None else _describe(winner, tracker),
        num_trials=len(search.trials),
        num_pruned=search.count("pruned"),
        num_cut=search.count("cut"),
        num_failed=search.count("failed"),
        has_all_seeds=search.has_all_seeds,
        epochs_trained=search.epochs_trained,
        elapsed_s=search.elapsed_s,
        clip=None
        if winner is None
        else {
            "mean_norm": winner.mean_norm,
            "max_norm": winner.clip_norm,
            "clipped_fraction": winner.clipped_fraction,
        },
        ablation=_ablation(config, search),
        best_config=None if files.best_config is None else str(files.best_config),
        report=str(files.report),
        run_folder=str(record.folder),
        is_tracked=is_tracked,
    )


def _ablation(config: ExperimentConfig, search: SearchRecord) -> dict[str, Any] | None:
    if search.ablation is None:
        return None
    asked = search_of(config).ablation
    assert asked is not None
    return {**search.ablation.as_dict(), "asked": asked.model_dump(mode="json")}


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


def _workers_note(config: ExperimentConfig, experiment: ExperimentConfig) -> list[str]:
    assert config.search is not None
    runtime, measured = experiment.runtime, config.search.workers_per_trial
    fewest, most = max(1, runtime.min_workers), max(1, runtime.max_workers)
    if fewest == most == measured or experiment.training.reduction_shards is not None:
        return []
    workers = f"{most}" if fewest == most else f"{fewest} to {most}"
    masks = ", and dropout's masks are others" if experiment.model.has_dropout else ""
    return [
        f"That trains with {workers} as runtime.num_workers, where the trial had {measured} as "
        "search.workers_per_trial:",
        f"the sums are then in another order{masks}, so its {experiment.training.metric} can "
        "differ from the trial's.",
    ]


def _clip_note(winner: TrialRecord) -> str:
    if winner.clip_norm is None:
        return "Gradients were not clipped."
    mean = "" if winner.mean_norm is None else f"mean gradient norm {winner.mean_norm:.4g}, "
    return (
        f"Clip value in force: {winner.clip_norm:.4g} ({mean}"
        f"{winner.clipped_fraction:.1%} of the steps clipped)."
    )
