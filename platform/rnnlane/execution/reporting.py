"""What is made of a trained model before it is logged: its temperature, its verdict, its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import ScoredSplit
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.execution.lifecycle import TrackedRun
from rnnlane.execution.linear_fit import fit_on
from rnnlane.execution.run_record import all_records
from rnnlane.inference.bundle import set_temperature
from rnnlane.inference.calibration import TemperatureChoice, choose_temperature, tempered
from rnnlane.inference.predictor import hasher_of
from rnnlane.records.predictions import Predictions
from rnnlane.reports.artifacts import write_answers, write_predictions
from rnnlane.reports.classes import describe_classes
from rnnlane.reports.optional import optional
from rnnlane.reports.run_facts import LinearScores, Mistake, RunFacts, most_confident_mistakes
from rnnlane.reports.run_report import write_report
from rnnlane.tracking.run import MlflowTracker
from rnnlane.training.group import in_process
from rnnlane.training.metrics import score, summarize

# Up to this the linear model takes a second or two, and is fitted for the report.
MAX_TOKENS, MAX_CLASSES = 300_000, 20


def calibrate(
    config: ExperimentConfig, bundle: Path, predictions: Mapping[str, Predictions]
) -> TemperatureChoice:
    """Chooses the temperature of a model, and gives it to its bundle.

    Args:
        config: the experiment.
        bundle: folder of the model, without a temperature.
        predictions: on val, among others, without a temperature.
    """
    choice = choose_temperature(config.inference.temperature, predictions["val"])
    set_temperature(bundle, choice.used)
    return choice


def write_answers_and_report(
    folder: Path,
    facts: RunFacts,
    *,
    prepared: PreparedData,
    splits: Mapping[str, ScoredSplit],
) -> Path | None:
    """Writes what the model answers on val and test, and the report.

    Args:
        folder: of the run's results, with its pictures in ``figures``.
        facts: without mistakes and, where there is a better one to compare with, linear scores.
        prepared: the data.
        splits: of that data.

    Returns:
        The file of the report; None where it cannot be written, as without the texts of the data.
    """
    used = facts.temperature.used
    answers = {name: tempered(one, used) for name, one in facts.predictions.items()}
    write_predictions(folder, answers)
    with optional("report.html"):
        facts = replace(facts, mistakes=_mistakes(prepared, answers["val"]))
        if facts.history:
            facts = replace(facts, linear=linear_scores(facts.config, prepared, splits))
        return write_report(folder, facts)
    return None


def log_without_epochs(
    run: TrackedRun[MlflowTracker],
    facts: RunFacts,
    *,
    bundle: Path,
    prepared: PreparedData,
    splits: Mapping[str, ScoredSplit],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Logs a model that was not trained by epochs, with its results and its report.

    Args:
        run: under way.
        facts: of the report.
        bundle: folder of the model, complete.
        prepared: the data that it was fitted or scored on.
        splits: of that data.
        tags: of the run, beside its temperature.

    Returns:
        The fields that the results of a baseline and of an ensemble share.
    """
    results, names, sample = run.record.folder / "results", prepared.class_names, facts.sample
    (results / "figures").mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {"metrics": facts.metrics}
    if facts.members:
        numbers["members"] = facts.members
    numbers |= write_answers(results, facts.confusions, names, sample=sample)
    (results / "results.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    report = write_answers_and_report(results, facts, prepared=prepared, splits=splits)
    run.tracker.log_artifacts(results)
    example = sample["text"] if sample else None
    model_uri = run.tracker.log_model(bundle, best_epoch=1, example=example)
    temperature = facts.temperature.used
    run.tracker.set_tags({**tags, "rnnlane.temperature": f"{temperature:.6g}"})
    return {
        **run.addresses,
        "model_uri": model_uri,
        "metrics": facts.metrics,
        "sample": sample,
        "report": str(report or ""),
        "temperature": temperature,
        "verdict": facts.verdict,
        **describe_classes(facts.confusions, names),
    }


def _mistakes(prepared: PreparedData, answers: Predictions) -> list[Mistake]:
    """The most confident mistakes on val, with their texts."""
    rows, names = most_confident_mistakes(answers), answers.class_names
    texts = prepared.texts("val", answers.row_keys[rows])
    return [
        Mistake(
            text=texts[int(answers.row_keys[row])],
            true=names[answers.labels[row]],
            predicted=names[answers.predicted[row]],
            confidence=float(answers.probabilities[row].max()),
        )
        for row in rows
    ]


def linear_scores(
    config: ExperimentConfig, prepared: PreparedData, splits: Mapping[str, ScoredSplit]
) -> LinearScores | None:
    """What the linear baseline reaches: that of the last `rnnlane baseline`, or one fitted here.

    Returns:
        None where there is none of this data in this home, and fitting one would take more than a
        few seconds, or train is not in memory.
    """
    weighting = config.baseline.weighting
    for record in reversed(all_records()):
        result = record.result or {}
        is_same = record.data_fingerprint == prepared.fingerprint
        # Releases before 0.6 had one weighting.
        is_same = is_same and result.get("weighting", "tfidf") == weighting
        if is_same and record.state == "finished" and "num_ngrams" in result:
            return LinearScores(result["metrics"], f"run {result['run_id'][:8]}", weighting)
    train, num_classes = splits.get("train"), len(prepared.class_names)
    if (
        not isinstance(train, EncodedSplit)
        or len(train.token_ids) > MAX_TOKENS
        or num_classes > MAX_CLASSES
    ):
        return None
    model = fit_on(train, config, prepared)
    hasher = hasher_of(model, prepared.vocabulary())
    metrics = {
        f"{split}/{key}": value
        for split in ("val", "test")
        for key, value in summarize(
            score(model, splits[split], group=in_process("cpu"), hasher=hasher),
            num_classes=num_classes,
        ).items()
    }
    return LinearScores(metrics, "fitted for this report", weighting)
