"""The linear baseline: fitted in this process, and logged as a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import FileSplit, ScoredSplit
from rnnlane.data.prepare.prepared import SPLITS, PreparedData
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.lifecycle import TrackedRun, describe_run, tracked_run
from rnnlane.execution.linear_fit import fit_on, fitted_rows
from rnnlane.execution.reporting import calibrate, log_without_epochs
from rnnlane.execution.run_record import RunRecord
from rnnlane.execution.streaming import copies
from rnnlane.inference.bundle import save_bundle
from rnnlane.inference.predictor import Predictor, hasher_of
from rnnlane.models.linear import LinearClassifier
from rnnlane.records.events import RunEvents
from rnnlane.records.predictions import Predictions
from rnnlane.records.results import BaselineResult
from rnnlane.reports.artifacts import write_inputs
from rnnlane.reports.run_facts import RunFacts
from rnnlane.reports.sample import sample_answer
from rnnlane.tracking.run import MlflowTracker, start_run
from rnnlane.tracking.store import MODEL_TAG
from rnnlane.training.group import in_process
from rnnlane.training.metrics import confusion, score, score_and_keep, summarize

# The last four do not affect the baseline.
NOT_PARAMS = {"tracking", "description", "model", "training", "runtime", "search"}


def execute_baseline(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, events: RunEvents
) -> BaselineResult:
    """Fits, scores and logs the baseline as a run of its own.

    Raises:
        DataError: the prepared data cannot be read or is damaged.
    """
    splits = {name: FileSplit(prepared, name, cache=copies(config)) for name in SPLITS}
    num_classes = len(prepared.class_names)
    # Before there is a run, as most of what can be wrong with the data shows here.
    rows = fitted_rows([splits["train"]], config, num_classes=num_classes, events=events)
    spec = describe_run(
        config,
        record,
        params=config.model_dump(mode="json", exclude=NOT_PARAMS),
        class_names=prepared.class_names,
    )
    with tracked_run(
        start_run,
        spec,
        config=config.tracking,
        record=record,
        events=events,
        is_resumable=False,
    ) as run:
        run.log_inputs(
            lambda folder: write_inputs(folder, config, prepared), describe_datasets(prepared)
        )
        run.events.stage("fitting")
        result = _fit_and_log(config, prepared, splits, rows, run=run)
        return run.conclude(lambda is_tracked: replace(result, is_tracked=is_tracked))


def _fit_and_log(
    config: ExperimentConfig,
    prepared: PreparedData,
    splits: Mapping[str, FileSplit],
    rows: EncodedSplit,
    *,
    run: TrackedRun[MlflowTracker],
) -> BaselineResult:
    record, tracker = run.record, run.tracker
    model, fit_s = _timed_fit(rows, config, prepared)
    scored: dict[str, ScoredSplit] = {**splits, "train": rows}
    metrics, confusions, predictions = _scores(model, scored, prepared)
    if config.baseline.refit:
        run.events.note("fitting again on train and val; what is said of val is of the first fit")
        num_classes, both = len(prepared.class_names), [splits["train"], splits["val"]]
        rows = fitted_rows(both, config, num_classes=num_classes, events=run.events)
        model, refit_s = _timed_fit(rows, config, prepared)
        fit_s += refit_s
        of_test = _scores(model, {"test": splits["test"]}, prepared)
        metrics |= of_test[0]
        confusions |= of_test[1]
        predictions |= of_test[2]
    tracker.log_history([{"epoch": 1.0, **metrics, "time/fit_s": fit_s}], 1)
    bundle = record.folder / "model"
    save_bundle(
        bundle,
        weights=model.state_dict(),
        vocabulary=prepared.vocabulary_text(),
        text=config.text,
        model=model.shape,
        class_names=prepared.class_names,
    )
    temperature = calibrate(config, bundle, predictions)
    predictor = Predictor.load(bundle)
    facts = RunFacts(
        config=config,
        manifest=prepared.manifest,
        metrics=metrics,
        confusions=confusions,
        predictions=predictions,
        temperature=temperature,
        sample=sample_answer(config, predictor, val=splits["val"], prepared=prepared),
    )
    logged = log_without_epochs(
        run, facts, bundle=bundle, prepared=prepared, splits=scored, tags=_tags(config, model)
    )
    return BaselineResult(
        **logged,
        data_fingerprint=prepared.fingerprint,
        weighting=config.baseline.weighting,
        num_words=config.baseline.num_words,
        num_ngrams=model.num_ngrams,
        fit_s=fit_s,
    )


def _timed_fit(
    rows: EncodedSplit, config: ExperimentConfig, prepared: PreparedData
) -> tuple[LinearClassifier, float]:
    """The model, and the seconds that the fit took."""
    started = time.perf_counter()
    model = fit_on(rows, config, prepared)
    return model, time.perf_counter() - started


def _tags(config: ExperimentConfig, model: LinearClassifier) -> dict[str, str]:
    return {
        MODEL_TAG: "linear",
        "rnnlane.weighting": config.baseline.weighting,
        "rnnlane.num_ngrams": str(model.num_ngrams),
    }


def _scores(
    model: LinearClassifier, splits: Mapping[str, ScoredSplit], prepared: PreparedData
) -> tuple[dict[str, float], dict[str, npt.NDArray[np.int64]], dict[str, Predictions]]:
    """Metrics of some splits; of val and test the confusion matrices and the predictions."""
    group, names = in_process("cpu"), prepared.class_names
    num_classes = len(names)
    hasher = hasher_of(model, prepared.vocabulary())
    scores, predictions, keys = {}, {}, prepared.held_out_keys()
    for name, rows in splits.items():
        if name not in keys:
            scores[name] = score(model, rows, group=group, hasher=hasher)
            continue
        scores[name], predictions[name] = score_and_keep(
            model, rows, row_keys=keys[name], class_names=names, group=group, hasher=hasher
        )
    metrics = {
        f"{name}/{key}": value
        for name, of_split in scores.items()
        for key, value in summarize(of_split, num_classes=num_classes).items()
    }
    confusions = {name: confusion(scores[name], num_classes=num_classes) for name in predictions}
    return metrics, confusions, predictions
