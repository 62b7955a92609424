"""Pretraining as a run of its own kind, from start to end."""

from __future__ import annotations

import json
from dataclasses import replace

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import SHAPE
from rnnlane.data.batches.file_split import FileSplit, ScoredSplit
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.lifecycle import TrackedRun, describe_run, tracked_run
from rnnlane.execution.run import TrackedEvents, store_of, trained_outcome
from rnnlane.execution.run_record import RunRecord
from rnnlane.execution.streaming import copies, is_streamed
from rnnlane.pretraining.bundle import save_pretrained
from rnnlane.pretraining.loop import run_pretraining
from rnnlane.ray_cluster import connect as cluster
from rnnlane.ray_cluster.storage_check import check_storage
from rnnlane.records.events import RunEvents
from rnnlane.records.pretraining import PretrainResult
from rnnlane.reports.artifacts import write_inputs
from rnnlane.tracking.run import MlflowTracker, start_run
from rnnlane.tracking.store import KIND_TAG, PRETRAINED_PATH, PRETRAINING
from rnnlane.training.loop import Outcome, TrainingData


def execute_pretraining(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, events: RunEvents
) -> PretrainResult:
    """Trains and logs a language model; see :func:`rnnlane.execution.run.execute_run`.

    Args:
        config: the experiment; of its ``training`` section the seed alone is read.
        prepared: of the purpose of pretraining.
        record: of the run.
        events: receives the progress.
    """
    own = config.pretraining.as_training().model_copy(update={"seed": config.training.seed})
    config = config.model_copy(update={"training": own})
    config = cluster.with_counted_workers(config, events)
    data = pretraining_data(config, prepared, events)
    shared, use_gpu = None, False
    if config.runtime.max_workers > 0:
        import ray

        use_gpu = cluster.use_gpu(config.runtime)
        check_storage(config)
        shared = ray.put(data)
    params = config.model_dump(mode="json", include={"name", "seed", "data", "text", "pretraining"})
    params |= {
        "model": {key: getattr(config.model, key) for key in SHAPE},
        "training": {"seed": config.training.seed},
    }
    spec = describe_run(config, record, params=params, tags={KIND_TAG: PRETRAINING})
    with tracked_run(start_run, spec, config=config.tracking, record=record, events=events) as run:
        run.log_inputs(
            lambda folder: write_inputs(folder, config, prepared),
            describe_datasets(prepared, tuple(prepared.manifest.splits)),
        )
        run.events.stage("starting the workers")
        tracked = TrackedEvents(run.events, run.tracker, metric=config.training.metric)
        outcome = trained_outcome(
            config,
            data,
            store=store_of(config, record),
            events=tracked,
            shared=shared,
            gpus_per_worker=float(use_gpu),
            loop=run_pretraining,
        )
        run.events.stage("logging the language model")
        result = _log_outcome(config, prepared, outcome, run=run)
        return run.conclude(lambda is_tracked: replace(result, is_tracked=is_tracked))


def pretraining_data(
    config: ExperimentConfig, prepared: PreparedData, events: RunEvents
) -> TrainingData:
    """What a language model reads: every split that there is; none is of test.

    Raises:
        DataError: a file cannot be read.
    """
    cache = copies(config)
    streams = is_streamed(
        config, prepared, events, how="each node reads texts from a file of its own"
    )
    splits: dict[str, ScoredSplit] = {
        name: FileSplit(prepared, name, cache=cache) if streams else prepared.split(name)
        for name in prepared.manifest.splits
    }
    return TrainingData(
        splits=splits,
        num_classes=0,
        vocabulary_size=prepared.manifest.vocabulary_size,
        token_counts=prepared.vocabulary().counts,
    )


def _log_outcome(
    config: ExperimentConfig,
    prepared: PreparedData,
    outcome: Outcome,
    *,
    run: TrackedRun[MlflowTracker],
) -> PretrainResult:
    record, tracker = run.record, run.tracker
    tracker.log_history(outcome.history, outcome.best_epoch)
    artifacts = record.folder / "model"
    save_pretrained(
        artifacts / PRETRAINED_PATH,
        weights=outcome.weights,
        vocabulary=prepared.vocabulary_text(),
        config=config,
        source=prepared.manifest.source.fingerprint,
    )
    tracker.log_artifacts(artifacts)
    results = record.folder / "results"
    results.mkdir(exist_ok=True)
    numbers = {"best_epoch": outcome.best_epoch, "history": outcome.history}
    (results / "results.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    tracker.log_artifacts(results)
    tracker.set_tags({"rnnlane.best_epoch": str(outcome.best_epoch)})
    stats = prepared.manifest.splits
    return PretrainResult(
        **run.addresses,
        config_fingerprint=record.config_fingerprint,
        data_fingerprint=record.data_fingerprint,
        prepared_path=prepared.path,
        metrics=outcome.history[outcome.best_epoch - 1],
        epochs=len(outcome.history),
        best_epoch=outcome.best_epoch,
        num_texts={name: stats[name].num_rows for name in stats},
    )
