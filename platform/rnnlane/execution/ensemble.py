"""An ensemble of finished runs: weighted, scored and logged as a run of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import SAMPLE_FROM_VAL, ExperimentConfig
from rnnlane.config.load import load_experiment
from rnnlane.config.paths import storage_root
from rnnlane.data.prepare.prepared import MANIFEST_NAME, Manifest, PreparedData
from rnnlane.data.storage import joined
from rnnlane.errors import ConfigError, TrackingError, redact
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.lifecycle import TrackedRun, describe_run, tracked_run
from rnnlane.execution.reporting import log_without_epochs
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.calibration import at_temperature, choose_temperature
from rnnlane.inference.comparison import kind_of, on_shared_rows
from rnnlane.inference.ensemble import EnsemblePredictor, save_ensemble
from rnnlane.inference.kept import find_runs_to_compare, read_predictions
from rnnlane.inference.paired import shared_rows
from rnnlane.inference.pool import fit_weights, log_pool
from rnnlane.records.ensemble import EnsembleResult
from rnnlane.records.events import RunEvents
from rnnlane.records.predictions import Predictions
from rnnlane.records.refit import is_refitted
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.run_facts import RunFacts
from rnnlane.tracking.run import MlflowTracker, start_run
from rnnlane.tracking.store import (
    EXPERIMENT_PATH,
    MODEL_TAG,
    RunSummary,
    download_artifacts,
    download_model,
)
from rnnlane.training.metrics import confusion, scores_of, summarize

PREDICTOR = "rnnlane.inference:EnsemblePredictor"
Weighting = Literal["val", "mean"]
_HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Members:
    """Finished runs that answer the same rows.

    Attributes:
        uri: the store.
        runs: two or more.
        predictions: of each run, by split, on the rows that all have.
        config: the experiment of the first.
        prepared: its data; maybe no longer on this disk.
    """

    uri: str
    runs: Sequence[RunSummary]
    predictions: Mapping[str, Sequence[Predictions]]
    config: ExperimentConfig
    prepared: PreparedData


def read_members(uri: str, references: Sequence[str]) -> Members:
    """Finds the runs, and what they keep.

    Raises:
        ConfigError: there are fewer than two, one is named twice or keeps no predictions, or two
            have other classes or rows.
        DataError: the predictions of one are damaged.
        TrackingError: the store cannot be read.
    """
    runs = find_runs_to_compare(uri, references, purpose="an ensemble")
    predictions = {}
    for split in _HELD_OUT:
        kept = [read_predictions(uri, run, split) for run in runs]
        _check_rows(runs, kept, split)
        predictions[split] = [_whole(one, kept) for one in on_shared_rows(kept)]
    with tempfile.TemporaryDirectory() as scratch:
        file = download_artifacts(uri, runs[0].run_id, EXPERIMENT_PATH, Path(scratch))
        config = load_experiment(file)
        file = download_artifacts(uri, runs[0].run_id, MANIFEST_NAME, Path(scratch))
        try:
            manifest = Manifest.model_validate_json(file.read_text(encoding="utf-8"))
        except ValueError:
            raise TrackingError(
                f"{MANIFEST_NAME} must describe the data of the run, but it is damaged",
                where=f"{redact(uri)}: run {runs[0].run_id}",
                remedy="name another run first",
            ) from None
    path = joined(storage_root(config), "prepared", manifest.fingerprint)
    return Members(uri, runs, predictions, config, PreparedData(path, manifest))


def _check_rows(runs: Sequence[RunSummary], kept: Sequence[Predictions], split: str) -> None:
    """Refuses predictions that are of other classes or rows than the first, or not numbers."""
    for run, predictions in zip(runs, kept, strict=True):
        where = f"{split} of {_name(runs[0])} and {_name(run)}"
        try:
            shared_rows(kept[0], predictions)
        except ConfigError as error:
            message = error.message.replace("can be compared", "can be an ensemble")
            remedy = (error.remedy or "").replace("compare runs", "name runs")
            raise ConfigError(message, where=where, remedy=remedy) from None
        if not np.isfinite(predictions.probabilities).all():
            raise ConfigError(
                f"probabilities must be numbers, but the run has NaN on {split}",
                where=_name(run),
                remedy="leave it out: its training has diverged",
            )


def _name(run: RunSummary) -> str:
    return f"{run.name} ({run.run_id[:8]})"


def _whole(shared: Predictions, kept: Sequence[Predictions]) -> Predictions:
    """With the rows counted as a whole split, unless a run keeps a sample of its own."""
    is_sample = any(len(one) < one.num_split_rows for one in kept)
    return shared if is_sample else replace(shared, num_split_rows=len(shared))


def execute_ensemble(
    members: Members,
    config: ExperimentConfig,
    weighting: Weighting,
    *,
    record: RunRecord,
    events: RunEvents,
) -> EnsembleResult:
    """Weighs, scores and logs an ensemble as a run of its own.

    Args:
        members: the runs.
        config: the first one's experiment, with the name and the store of the ensemble.
        weighting: whether weights are fitted on val or all the same.
        record: of the ensemble's run.
        events: receives the progress.
    """
    ids = {f"member_{number}": run.run_id for number, run in enumerate(members.runs, start=1)}
    spec = describe_run(
        config,
        record,
        params={
            "name": config.name,
            "ensemble": {
                "weights": weighting,
                **ids,
                "refit": any(is_refitted(run.params) for run in members.runs),
            },
        },
        class_names=members.prepared.class_names,
    )
    spec = replace(spec, predictor=PREDICTOR)
    with tracked_run(
        start_run,
        spec,
        config=config.tracking,
        record=record,
        events=events,
        is_resumable=False,
    ) as run:
        run.log_inputs(
            lambda folder: _write_inputs(folder, config, members),
            describe_datasets(members.prepared, _HELD_OUT),
        )
        run.events.stage("weighing and logging the members")
        result = _weigh_and_log(config, members, weighting, run=run)
        return run.conclude(lambda is_tracked: replace(result, is_tracked=is_tracked))


def _write_inputs(folder: Path, config: ExperimentConfig, members: Members) -> None:
    manifest = members.prepared.manifest.model_dump_json(indent=1)
    (folder / EXPERIMENT_PATH).write_text(resolved_yaml(config), encoding="utf-8")
    (folder / MANIFEST_NAME).write_text(manifest, encoding="utf-8")


def _weigh_and_log(
    config: ExperimentConfig,
    members: Members,
    weighting: Weighting,
    *,
    run: TrackedRun[MlflowTracker],
) -> EnsembleResult:
    record, tracker, names = run.record, run.tracker, members.prepared.class_names
    of_val = members.predictions["val"]
    weights = np.full(len(of_val), 1 / len(of_val))
    if weighting == "val":
        weights = fit_weights([one.probabilities for one in of_val], of_val[0].labels)
    metrics, confusions, predictions = _scores(members, weights)
    described = _describe_members(members, weights)
    tracker.log_history([{"epoch": 1.0, **metrics, **_member_metrics(described)}], 1)
    temperature = choose_temperature("fit", predictions["val"])
    bundle = record.folder / "model"
    folders = _fetch_bundles(members, bundle)
    save_ensemble(
        bundle,
        members=folders,
        weights=weights.tolist(),
        class_names=names,
        temperature=temperature.used,
    )
    facts = RunFacts(
        config=config,
        manifest=members.prepared.manifest,
        metrics=metrics,
        confusions=confusions,
        predictions=predictions,
        temperature=temperature,
        members=described,
        sample=_sample_answer(config, bundle),
    )
    logged = log_without_epochs(
        run,
        facts,
        bundle=bundle,
        prepared=members.prepared,
        splits={},
        tags={MODEL_TAG: "ensemble"},
    )
    return EnsembleResult(
        **logged,
        data_fingerprint=record.data_fingerprint,
        weighting=weighting,
        members=described,
        num_rows={split: len(one) for split, one in predictions.items()},
    )


def _scores(
    members: Members, weights: npt.NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, npt.NDArray[np.int64]], dict[str, Predictions]]:
    """Of val and test the metrics, the confusion matrices and the predictions, temperature 1."""
    num_classes = len(members.prepared.class_names)
    metrics, confusions, predictions = {}, {}, {}
    for split, kept in members.predictions.items():
        logits = log_pool([one.probabilities for one in kept], weights)
        pooled = at_temperature(logits, 1.0)
        scores = scores_of(pooled, kept[0].labels)
        confusions[split] = confusion(scores, num_classes=num_classes)
        summary = summarize(scores, num_classes=num_classes)
        metrics.update({f"{split}/{key}": value for key, value in summary.items()})
        predictions[split] = replace(kept[0], probabilities=pooled.astype(np.float32))
    return metrics, confusions, predictions


def _describe_members(members: Members, weights: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """As in ``EnsembleResult.members``."""
    described = []
    for index, (run, weight) in enumerate(zip(members.runs, weights.tolist(), strict=True)):
        own: dict[str, Any] = {"run_id": run.run_id, "name": run.name, "model": kind_of(run)}
        own["weight"] = weight
        for split, kept in members.predictions.items():
            scores = scores_of(kept[index].probabilities, kept[index].labels)
            own[f"{split}/accuracy"] = float((scores.predicted == scores.labels).mean())
            own[f"{split}/loss"] = float(scores.losses.mean())
        described.append(own)
    return described


def _member_metrics(described: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        f"members/{number}/{key.replace('/', '_')}": value
        for number, one in enumerate(described, start=1)
        for key, value in one.items()
        if isinstance(value, float)
    }


def _fetch_bundles(members: Members, bundle: Path) -> list[str]:
    """Puts the members' bundles into folders of the ensemble's; returns their names."""
    names = []
    for number, run in enumerate(members.runs, start=1):
        names.append(f"member_{number}")
        with tempfile.TemporaryDirectory() as scratch:
            fetched = download_model(members.uri, run.run_id, Path(scratch))
            shutil.copytree(fetched, bundle / names[-1], dirs_exist_ok=True)
    return names


def _sample_answer(config: ExperimentConfig, bundle: Path) -> dict[str, Any] | None:
    """The answer to the sample text of the first member's experiment, if it is a text."""
    predictor = EnsemblePredictor.load(bundle)
    if config.sample_text is None or config.sample_text == SAMPLE_FROM_VAL:
        return None
    return predictor.predict([config.sample_text]).answers([config.sample_text])[0]
