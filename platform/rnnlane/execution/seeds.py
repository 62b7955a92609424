"""Several seeds of one experiment: a run of each, and one run that has their mean and spread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.section import ValMetric
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.errors import RnnlaneError
from rnnlane.execution.attempt import record_of_attempt
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.identity import run_fingerprint
from rnnlane.execution.lifecycle import TrackedRun, describe_run, tracked_run
from rnnlane.execution.run import Work, checked_work, run_checked
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.events import ForwardedEvents, RunEvents
from rnnlane.records.progress import Progress
from rnnlane.records.results import TrainResult
from rnnlane.records.seeds import SeedsResult, as_plain, describe_seed, spreads
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.optional import optional
from rnnlane.reports.seeds_report import seeds_csv, seeds_html
from rnnlane.tracking.history import BEST_EPOCH_METRIC, BEST_PREFIX, summary_of
from rnnlane.tracking.internals import PARENT_TAG
from rnnlane.tracking.run import MlflowTracker, start_run
from rnnlane.tracking.run_links import SEARCH_RUN_TAG
from rnnlane.tracking.store import BEST_SEED_TAG, SEED_TAG, SEEDS_TAG
from rnnlane.training.schedule import is_better


def execute_seeds(
    config: ExperimentConfig,
    prepared: PreparedData,
    *,
    earlier: Mapping[int, RunRecord],
    record: RunRecord,
    events: RunEvents,
) -> SeedsResult:
    """Trains the seeds that have no finished run yet, one after the other, and logs the whole.

    Ray must be connected if the experiment has workers. All checks precede the creation of the
    MLflow runs.

    Args:
        config: an experiment with several seeds.
        prepared: its prepared data.
        earlier: the runs that earlier attempts have left, by seed.
        record: of the whole; the run of each seed has its own.
        events: receives the progress.

    Raises:
        RnnlaneError: a seed has failed, which ``where`` names; the others keep their runs.
    """
    work = checked_work(config, prepared, events)
    tags = {SEEDS_TAG: _listed(config.training_seeds)}
    spec = describe_run(
        config, record, params=work.params(), class_names=prepared.class_names, tags=tags
    )
    # The run of each seed samples the machine.
    tracking = config.tracking.model_copy(update={"system_metrics": False})
    with tracked_run(start_run, spec, config=tracking, record=record, events=events) as run:
        run.log_inputs(
            lambda folder: _write_experiment(folder, config), describe_datasets(prepared)
        )
        run.tracker.set_tags(tags)  # an earlier attempt may have had fewer seeds
        if (search_run_id := config.tracking.tags.get(SEARCH_RUN_TAG)) is not None:
            run.tracker.link_search(search_run_id)
        results: dict[int, TrainResult] = {}
        for seed in config.training_seeds:
            results[seed] = _trained(work, seed, run=run, earlier=earlier.get(seed))
            run.tracker.link_seed(seed, results[seed].run_id)
            run.tracker.log_summary(_summary(_metrics(results)))
        run.events.stage("writing the report")
        result = _log_results(config, prepared, results, run=run)
        are_tracked = all(one.is_tracked for one in results.values())
        return run.conclude(
            lambda is_tracked: replace(result, is_tracked=is_tracked and are_tracked)
        )


class _SeedEvents(ForwardedEvents):
    """Passes on the events of a seed's run, and says whose they are.

    Log lines then begin with the seed, so that none is taken for the marker of the whole.
    """

    def __init__(self, events: RunEvents, seed: int):
        super().__init__(events)
        self._name = f"seed {seed}"

    def stage(self, text: str) -> None:
        super().stage(f"{self._name}: {text}")

    def progress(self, progress: Progress) -> None:
        super().progress(replace(progress, stage=f"{self._name}, {progress.stage}"))

    def note(self, text: str) -> None:
        super().note(f"{self._name}: {text}")


def _trained(
    work: Work, seed: int, *, run: TrackedRun[MlflowTracker], earlier: RunRecord | None
) -> TrainResult:
    """The result of a seed: of an earlier attempt, or trained now, maybe from its checkpoint."""
    config = _experiment_of(work.config, seed)
    record = earlier or RunRecord.create(
        f"{config.name}-seed-{seed}",
        config_fingerprint=run_fingerprint(config),
        data_fingerprint=work.prepared.fingerprint,
        parent=run.record.key,
    )
    events = _SeedEvents(run.events, seed)
    with record.locked(note=events.note) as current:
        if current.state == "finished" and current.result is not None:
            events.note("has already finished")
            return TrainResult(**current.result)
        tags = {SEED_TAG: str(seed), PARENT_TAG: run.tracker.run_id}
        started = record_of_attempt(current, config, [work.prepared])
        try:
            return run_checked(
                replace(work, config=config), record=started, events=events, tags=tags
            )
        except RnnlaneError as error:
            error.where = f"seed {seed}, {error.where}" if error.where else f"seed {seed}"
            raise


def _experiment_of(config: ExperimentConfig, seed: int) -> ExperimentConfig:
    """The experiment of one seed, whose run has a name of its own.

    Without the link to the search that has found the experiment: the whole has that.
    """
    tracking = config.tracking
    tags = {key: value for key, value in tracking.tags.items() if key != SEARCH_RUN_TAG}
    name = f"{tracking.run_name or config.name}-seed-{seed}"
    tracking = tracking.model_copy(update={"run_name": name, "tags": tags})
    return config.with_seed(seed).model_copy(update={"tracking": tracking})


def _metrics(results: Mapping[int, TrainResult]) -> list[dict[str, float]]:
    """Of each seed the metrics of its best epoch on val, and those of test, by MLflow's keys."""
    of_seeds = [summary_of(result.metrics["best"]) for result in results.values()]
    return [
        {key: value for key, value in one.items() if key != BEST_EPOCH_METRIC} for one in of_seeds
    ]


def _summary(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The metrics of the whole in MLflow: the mean has the key that a run of one seed has."""
    summary: dict[str, float] = {}
    for key, spread in spreads(metrics).items():
        summary |= {key: spread.mean, f"{key}_min": spread.min, f"{key}_max": spread.max}
        if len(metrics) > 1:
            summary[f"{key}_std"] = spread.std
    return summary


def best_seed(metric: ValMetric, metrics: Mapping[int, Mapping[str, float]]) -> int:
    """The first seed with the best value on val; test has no say in it."""
    key = f"{BEST_PREFIX}{metric}"
    best, *others = metrics
    for seed in others:
        if is_better(metric, metrics[seed][key], metrics[best][key]):
            best = seed
    return best


def _log_results(
    config: ExperimentConfig,
    prepared: PreparedData,
    results: Mapping[int, TrainResult],
    *,
    run: TrackedRun[MlflowTracker],
) -> SeedsResult:
    """Logs the files and the best seed, and returns the result."""
    tracker, record = run.tracker, run.record
    metrics = dict(zip(results, _metrics(results), strict=True))
    best = best_seed(config.training.metric, metrics)
    folder = record.folder / "results"
    result = SeedsResult(
        **run.addresses,
        config_fingerprint=record.config_fingerprint,
        data_fingerprint=record.data_fingerprint,
        prepared_path=prepared.path,
        metric=config.training.metric,
        num_seeds=len(results),
        metrics=as_plain(spreads(list(metrics.values()))),
        seeds=[describe_seed(seed, one, metrics[seed]) for seed, one in results.items()],
        best_seed=best,
        model_uri=results[best].model_uri,
        notes=notes_of(results),
    )
    report = _write_results(folder, config, result)
    tracker.log_artifacts(folder)
    tracker.set_tags({BEST_SEED_TAG: results[best].run_id})
    return replace(result, report=str(report or ""))


def _write_results(folder: Path, config: ExperimentConfig, result: SeedsResult) -> Path | None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_experiment(folder, config)
    numbers = {"metrics": result.metrics, "seeds": result.seeds, "best_seed": result.best_seed}
    (folder / "results.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    (folder / "seeds.csv").write_text(seeds_csv(result), encoding="utf-8")
    report = folder / "report.html"
    with optional("report.html"):
        text = seeds_html(result, name=config.name, experiment=resolved_yaml(config))
        report.write_text(text, encoding="utf-8")
        return report
    return None


def _write_experiment(folder: Path, config: ExperimentConfig) -> None:
    (folder / "experiment.yaml").write_text(resolved_yaml(config), encoding="utf-8")


def notes_of(results: Mapping[int, TrainResult]) -> list[str]:
    """What is to be said of all seeds, and of some."""
    said: dict[str, list[int]] = {}
    for seed, result in results.items():
        verdict = [f"do not use the model: it is {result.verdict}"] if result.verdict else []
        for note in [*verdict, *result.notes]:
            said.setdefault(note, []).append(seed)
    return [
        note if len(seeds) == len(results) else f"seed {_listed(seeds)}: {note}"
        for note, seeds in said.items()
    ]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
