"""One search: run its trials, report them to MLflow, and write the results."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import config_fingerprint, fingerprint
from rnnlane.config.paths import storage_root
from rnnlane.config.search import SearchConfig
from rnnlane.config.space import objective
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.data.storage import joined
from rnnlane.errors import DataError
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.lifecycle import describe_run, flattened, tracked_run
from rnnlane.execution.run import training_data, vector_match
from rnnlane.execution.run_record import RunRecord
from rnnlane.execution.worker import for_workers
from rnnlane.ray_cluster import connect as cluster
from rnnlane.ray_cluster.storage_check import check_storage
from rnnlane.records.events import RunEvents
from rnnlane.records.results import SearchResult
from rnnlane.records.search import SearchRecord, TrialRecord, TrialState
from rnnlane.records.system_use import SystemUse
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.page import counted
from rnnlane.reports.trials import ablation_name, trial_name
from rnnlane.search.ablation import AblationPlan
from rnnlane.search.dispatcher import TrialEvents
from rnnlane.search.ray_tune import TrialResources, run_trials
from rnnlane.search.results import describe_result, write_search_results
from rnnlane.search.study import (
    Sample,
    TrialSpec,
    TrialStudy,
    open_ablation,
    open_repeats,
    open_trials,
)
from rnnlane.search.trial_worker import TrialTask
from rnnlane.tracking.colors import PRUNED_COLOR
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.history import summary_of
from rnnlane.tracking.internals import COLOR_TAG, NAME_TAG
from rnnlane.tracking.run import RunSpec, RunStatus
from rnnlane.tracking.search import SearchTracker, start_search

# MLflow shows a trial that was cut short apart from those that trained all their epochs.
_END_STATUS: dict[TrialState, RunStatus] = {
    "finished": "FINISHED",
    "pruned": "KILLED",
    "cut": "KILLED",
    "failed": "FAILED",
}
_END_REASONS: dict[TrialState, str] = {
    "pruned": "pruned by the search's scheduler",
    "cut": "the time budget was used up",
}
# Telling of a search is worked out from all its trials. What takes less is told at every event.
SHORT_REPORT_S = 0.005
# No trial reads the test split.
_SPLITS = ("train", "val")


def execute_search(
    config: ExperimentConfig,
    prepared: Mapping[str, PreparedData],
    *,
    record: RunRecord,
    events: RunEvents,
) -> SearchResult:
    """Runs what is left of a search, and logs it.

    Ray must be connected. All checks precede the creation of the MLflow run.

    Args:
        config: an experiment with a search.
        prepared: the prepared data of each text section that occurs, by :func:`data_key`.
        record: the search's record on this machine.
        events: receives the progress.
    """
    resources = trial_resources(config)
    check_storage(config)
    datasets = _shared_data(config, prepared, events)
    inputs = {key: describe_datasets(data, _SPLITS) for key, data in prepared.items()}
    spec = _describe_search(config, record)
    with tracked_run(
        start_search, spec, config=config.tracking, record=record, events=events
    ) as run:
        every_input = [one for of_variant in inputs.values() for one in of_variant]
        run.log_inputs(partial(_write_inputs, config), every_input)
        search = _Search(
            config,
            record=run.record,
            tracker=run.tracker,
            events=run.events,
            resources=resources,
            inputs=inputs,
        )
        outcome = search.run(datasets)
        if outcome.winner is None:
            run.events.note(
                f"none of the {len(outcome.trials)} trials succeeded; there is no winner"
            )
        else:
            best = trial_name(outcome.winner.number, outcome.winner.params)
            tags = {"rnnlane.best_trial": best}
            if outcome.ablation is not None:
                tags["rnnlane.recommended"] = outcome.ablation.recommended.label
            run.tracker.parent.set_tags(tags)
        run.events.stage("writing the report")
        results = record.folder / "results"
        files = write_search_results(results, config, outcome, record=run.record)
        run.tracker.log_artifacts(results)
        return run.conclude(
            partial(describe_result, config, outcome, files, record=run.record, tracker=run.tracker)
        )


def data_key(config: ExperimentConfig) -> str:
    """Identifies the prepared data that a trial trains on among those of the search."""
    return fingerprint(config.text.model_dump(mode="json"))


def trial_resources(config: ExperimentConfig) -> TrialResources:
    """What each trial gets of the connected Ray, and how many run at once.

    Raises:
        ResourceError: not even one trial fits; with the arithmetic.
    """
    assert config.search is not None
    search = config.search
    gpus = _gpus_per_worker(config)
    fitting = cluster.num_fitting(
        num_workers=search.workers_per_trial, cpus=search.cpus_per_worker, gpus=gpus
    )
    return TrialResources(
        num_workers=search.workers_per_trial,
        cpus_per_worker=search.cpus_per_worker,
        gpus_per_worker=gpus,
        max_concurrent=min(fitting, search.max_concurrent or fitting),
        max_retries=search.max_retries,
    )


def _gpus_per_worker(config: ExperimentConfig) -> float:
    assert config.search is not None
    if config.search.gpus_per_worker is not None:
        return config.search.gpus_per_worker
    runtime = config.runtime.model_copy(update={"num_workers": config.search.workers_per_trial})
    return 1.0 if cluster.use_gpu(runtime) else 0.0


def _shared_data(
    config: ExperimentConfig, prepared: Mapping[str, PreparedData], events: RunEvents
) -> dict[str, Any]:
    """References to the data of the trials, without the test split."""
    import ray

    references = {}
    for name, of_variant in prepared.items():
        data = training_data(config, of_variant, splits=_SPLITS, events=events)
        if (match := vector_match(data, of_variant)) is not None:
            events.note(str(match))
        references[name] = ray.put(data)
    return references


def _describe_search(config: ExperimentConfig, record: RunRecord) -> RunSpec:
    assert config.search is not None
    plain = config.model_dump(mode="json", exclude={"tracking", "description", "search"})
    search = config.search.model_dump(mode="json", exclude={"space"})
    space = {key: str(variation) for key, variation in config.search.space.items()}
    params = {**plain, "search": {**search, "space": space}}
    return describe_run(config, record, params=params, tags={"rnnlane.kind": "search"})


def _write_inputs(config: ExperimentConfig, folder: Path) -> None:
    (folder / "experiment.yaml").write_text(resolved_yaml(config), encoding="utf-8")


class _Search(TrialEvents):
    """The driver's side of a search: its phases and their reporting."""

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        record: RunRecord,
        tracker: SearchTracker,
        events: RunEvents,
        resources: TrialResources,
        inputs: Mapping[str, Sequence[DatasetInfo]],
    ):
        assert config.search is not None
        self._config = config
        self._settings: SearchConfig = config.search
        self._record = record
        self._tracker = tracker
        self._events = events
        self._resources = resources
        self._inputs = inputs
        self._file = record.folder / "trials.sqlite"
        self._trials = open_trials(self._file, config, key=record.key)
        self._seeds: TrialStudy | None = None
        self._plan: AblationPlan | None = None
        self._ablation: TrialStudy | None = None
        self._done_checkpoints: list[str] = []
        self._next_report = 0.0

    def run(self, datasets: dict[str, Any]) -> SearchRecord:
        """The trials, then the finalists with other seeds, then the ablation of the winner."""
        self._report_earlier_trials()
        if self._trials.num_trials < self._settings.num_trials:
            self.note(
                f"{self._trials.num_trials} trials instead of {self._settings.num_trials}: "
                "the space has no more settings, and none is tried twice"
            )
        self._events.stage("searching")
        self._run_study(self._trials, datasets)
        if self._settings.repeats > 1:
            finalists = _distinct(self.snapshot().ranked())[: self._settings.finalists]
            seeds = self._settings.repeats - 1
            self.note(
                f"training the best {len(finalists)} again with {seeds} other seeds each"
                if self._left_s() > 0
                else "no time is left to train the best trials with other seeds"
            )
            self._seeds = open_repeats(
                self._file, self._config, key=self._record.key, finalists=finalists
            )
            self._run_study(self._seeds, datasets)
        winner = self.snapshot().winner
        if self._settings.ablation is not None and winner is not None:
            self._ablate(winner, datasets)
        return self.snapshot()

    def _ablate(self, winner: TrialRecord, datasets: dict[str, Any]) -> None:
        """Trains the winner again, and with one setting changed at a time."""
        self._plan = plan = AblationPlan(self._config, winner)
        for label, problem in plan.skipped.items():
            self.note(f"the ablation leaves out {label}, which breaks a rule: {problem}")
        self._ablation = open_ablation(
            self._file, self._config, key=self._record.key, wanted=plan.samples()
        )
        if self._ablation.num_remaining > 0:
            self.note(
                f"training the winner and {len(plan.alternatives)} alternatives with "
                f"{len(plan.seeds)} seeds each"
                if self._left_s() > 0
                else "no time is left for the ablation"
            )
        self._run_study(self._ablation, datasets)

    def snapshot(self) -> SearchRecord:
        """The search so far."""
        metric, is_larger_better = objective(self._config)
        later = [one for study in (self._seeds, self._ablation) if study for one in study.records()]
        trials = self._trials.records()
        if self._seeds is not None:
            trials = self._seeds.with_seed_values(trials)
        search = SearchRecord(
            name=self._config.name,
            metric=metric,
            is_larger_better=is_larger_better,
            space=self._settings.space,
            algorithm=self._settings.algorithm,
            scheduler=self._settings.scheduler,
            max_epochs=self._settings.max_epochs or self._config.training.epochs,
            num_planned=self._trials.num_trials,
            has_all_seeds=self._seeds is None or self._seeds.is_complete,
            time_budget_s=self._settings.time_budget_s,
            trials=trials,
            started_at=self._record.created_at,
            elapsed_s=self._elapsed_s(),
            epochs_trained=sum(trial.num_epochs for trial in (*trials, *later)),
            afterwards=self._afterwards(),
            ablation=self._plan.outcome(self._ablation) if self._plan and self._ablation else None,
        )
        return search.with_best()

    def trial_started(self, spec: TrialSpec) -> None:
        self._delete_done_checkpoints()
        self._tracker.open_trial(
            spec.key,
            name=_name(spec),
            params=flattened(
                spec.config.model_dump(
                    mode="json",
                    exclude={
                        **dict.fromkeys(("tracking", "description", "runtime", "search"), True),
                        "training": {"seeds"},  # a trial trains with one
                    },
                )
            ),
            tags={
                "rnnlane.kind": "ablation" if spec.sample.label else "trial",
                "rnnlane.config_fingerprint": config_fingerprint(spec.config),
                "rnnlane.search": self._record.key,
            },
            datasets=self._inputs[data_key(spec.config)],
        )
        self._report()

    def trial_progressed(self, spec: TrialSpec, record: TrialRecord) -> None:
        self._tracker.log_trial(spec.key, record.history, record.best_epoch)
        self._report()

    def trial_ended(self, spec: TrialSpec, record: TrialRecord) -> None:
        tags = {"rnnlane.trial_state": record.state, NAME_TAG: _name(spec, record.state)}
        if record.state == "pruned":
            tags[COLOR_TAG] = PRUNED_COLOR
        self._tracker.tag_trial(spec.key, tags)
        reason = record.reason or _END_REASONS.get(record.state)
        self._tracker.close_trial(spec.key, _END_STATUS[record.state], reason=reason)
        self._done_checkpoints.append(spec.key)
        if spec.sample.seed is not None:
            value = "failed" if record.value is None else f"{record.value:.4f}"
            self.note(f"{self._seeded(spec.sample)}: {value}")
        self._report()

    def system_use(self, use: SystemUse) -> None:
        self._tracker.parent.add_system_use(use)

    def _log_progress(self, search: SearchRecord) -> None:
        """Logs how far the search is, and the metrics of the best trial so far as its own."""
        self._tracker.parent.log_history(_progression(search))
        if (winner := search.winner) is not None and winner.best_epoch is not None:
            best = winner.history[winner.best_epoch - 1]
            self._tracker.parent.log_summary(summary_of(best))

    def note(self, text: str) -> None:
        self._events.note(text)

    def _seeded(self, sample: Sample) -> str:
        """What is trained after the trials, for people."""
        if sample.label:
            return f"{sample.label} seed {sample.seed}"
        trials = self._trials.records()
        number = next(trial.number for trial in trials if trial.params == sample.params)
        return f"trial {number} with seed {sample.seed}"

    def _afterwards(self) -> str:
        study = self._ablation or self._seeds
        if study is None or study.num_trials == 0:
            return ""
        what = "repeats of the best trials" if study is self._seeds else "runs of the ablation"
        records = study.records()
        running = [self._seeded(study.sample(one.number)) for one in records if not one.ended_at]
        under_way = f" ({', '.join(running)})" if running else ""
        return f"{len(records) - len(running)}/{study.num_trials} {what}{under_way}"

    def _report_earlier_trials(self) -> None:
        trials = self._trials.records()
        ended = sum(trial.state != "running" for trial in trials)
        if trials:
            self.note(
                f"continuing: {ended} trials have ended, {len(trials) - ended} are unfinished"
            )
        num_cut = sum(trial.state == "cut" for trial in trials)
        if num_cut:
            self.note(f"{counted(num_cut, 'trial')} that the time budget cut are not continued")

    def _report(self, *, at_once: bool = False) -> None:
        """Tells and logs how far it is; if that takes long, rarely: in a twentieth of the time."""
        started = time.monotonic()
        if not at_once and started < self._next_report:
            return
        search = self.snapshot()
        self._log_progress(search)
        self._events.trial(search)
        ended = time.monotonic()
        took_s = ended - started
        self._next_report = ended + (19 * took_s if took_s > SHORT_REPORT_S else 0.0)

    def _run_study(self, study: TrialStudy, datasets: dict[str, Any]) -> None:
        """Runs what is left of a study."""
        self._done_checkpoints += [
            trial.key for trial in study.records() if trial.state != "running"
        ]
        run_trials(
            study,
            resources=self._resources,
            datasets=datasets,
            make_task=self._make_task,
            deadline=time.monotonic() + self._left_s(),
            scratch=self._record.folder / "ray-tune",
            events=self,
        )
        study.stop_clock()
        self._delete_done_checkpoints()
        if study.num_trials:
            self._report(at_once=True)

    def _left_s(self) -> float:
        """Seconds left of the time budget."""
        budget_s = self._settings.time_budget_s
        return math.inf if budget_s is None else budget_s - self._elapsed_s()

    def _elapsed_s(self) -> float:
        studies = (self._trials, self._seeds, self._ablation)
        return math.fsum(study.elapsed_s for study in studies if study is not None)

    def _make_task(self, spec: TrialSpec) -> TrialTask:
        resources = self._resources
        runtime = self._config.runtime.model_copy(
            update={
                "num_workers": resources.num_workers,
                "cpus_per_worker": resources.cpus_per_worker,
                "device": "gpu" if resources.gpus_per_worker > 0 else "cpu",
                # Ray Tune retries a trial as a whole.
                "max_restarts": 0,
            }
        )
        config = spec.config.model_copy(update={"runtime": runtime})
        return TrialTask(
            config=for_workers(config).model_dump_json(),
            data=data_key(config),
            checkpoints=self._checkpoints(spec.key),
            gpus_per_worker=resources.gpus_per_worker,
        )

    def _checkpoints(self, key: str) -> str:
        return joined(storage_root(self._config), "checkpoints", self._record.key, key)

    def _delete_done_checkpoints(self) -> None:
        """Deletes the checkpoints of trials that have ended."""
        while self._done_checkpoints:
            with contextlib.suppress(OSError, DataError):
                CheckpointStore(self._checkpoints(self._done_checkpoints.pop())).delete()


def _name(spec: TrialSpec, state: TrialState = "running") -> str:
    sample = spec.sample
    if sample.label:
        return ablation_name(sample.label, sample.seed, state=state)
    return trial_name(spec.number, sample.params, seed=sample.seed, state=state)


def _distinct(trials: list[TrialRecord]) -> list[TrialRecord]:
    """The first of the trials with the same params."""
    seen: list[Mapping[str, Any]] = []
    distinct = []
    for trial in trials:
        if trial.params not in seen:
            seen.append(trial.params)
            distinct.append(trial)
    return distinct


def _progression(search: SearchRecord) -> list[dict[str, float]]:
    """The best value after each trial that ended, as metrics of the search's own run."""
    ended = [trial for trial in search.trials if trial.ended_at is not None]
    progression: list[dict[str, float]] = []
    best: float | None = None
    epochs = 0
    for count, trial in enumerate(sorted(ended, key=lambda trial: trial.ended_at or 0.0), start=1):
        epochs += trial.num_epochs
        if trial.value is not None and trial.state != "failed":
            pick = max if search.is_larger_better else min
            best = trial.value if best is None else pick(best, trial.value)
        values = {"search/epochs_trained": float(epochs)}
        if best is not None:
            values[f"search/best_{search.metric.removeprefix('val/')}"] = best
        progression.append({"epoch": float(count), **values})
    return progression
