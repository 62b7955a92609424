"""The linear baseline as a run: fitted in this process, logged as any other."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.prepared import SPLITS, PreparedData
from rnnlane.errors import redact
from rnnlane.execution.run import describe_data, is_delivered, log_inputs, start_tracking
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.predictor import Predictor
from rnnlane.models.linear import LinearClassifier, fit_linear
from rnnlane.records.events import RunEvents
from rnnlane.reports.artifacts import answers, save_answers, write_bundle
from rnnlane.tracking.tracker import Tracker
from rnnlane.tracking.uris import store_identity
from rnnlane.training.group import in_process
from rnnlane.training.metrics import confusion, score, summarize

# Neither has a part in the baseline.
LEFT_OUT = ("model", "training", "runtime", "search")


@dataclass(frozen=True)
class BaselineResult:
    """A finished baseline.

    Attributes:
        run_id: MLflow's.
        tracking_uri: the MLflow store, without passwords.
        data_fingerprint: identity of the prepared data.
        model_uri: what ``mlflow.pyfunc.load_model`` takes.
        metrics: of every split, as ``test/accuracy``.
        num_ngrams: words and pairs of words that count.
        fit_s: seconds the fit took.
        sample: the answer for the sample sentence.
        run_folder: the run's local files.
        is_tracked: whether the store has everything; else the rest waits in the outbox.
    """

    run_id: str
    tracking_uri: str
    data_fingerprint: str
    model_uri: str
    metrics: dict[str, float]
    num_ngrams: int
    fit_s: float
    sample: dict[str, Any]
    run_folder: str
    is_tracked: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


def execute_baseline(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, events: RunEvents
) -> BaselineResult:
    """Fits, scores and logs the baseline; its status tells the truth whatever happens."""
    try:
        splits = {name: prepared.split(name) for name in SPLITS}
        tracker = start_tracking(config, prepared, record, left_out=LEFT_OUT)
    except BaseException:
        record.discard_unstarted()
        raise
    record = record.update(run_id=tracker.run_id, tracking_uri=store_identity(tracker.tracking_uri))
    try:
        log_inputs(config, prepared, record=record, tracker=tracker)
        events.stage("fitting")
        found = _fit_and_log(config, prepared, splits, record=record, tracker=tracker)
    except BaseException as error:
        is_interrupt = isinstance(error, KeyboardInterrupt)
        record.update(state="killed" if is_interrupt else "failed")
        reason = "interrupted" if is_interrupt else str(error) or type(error).__name__
        tracker.finish("KILLED" if is_interrupt else "FAILED", reason=reason)
        raise
    is_tracked = is_delivered(tracker, record=record, events=events)
    result = BaselineResult(**found, is_tracked=is_tracked)
    record.update(state="finished", result=result.as_dict())
    return result


def _fit_and_log(
    config: ExperimentConfig,
    prepared: PreparedData,
    splits: dict[str, EncodedSplit],
    *,
    record: RunRecord,
    tracker: Tracker,
) -> dict[str, Any]:
    num_classes = len(prepared.class_names)
    train = splits["train"]
    started = time.perf_counter()
    model = fit_linear(
        train.token_ids,
        train.offsets,
        train.labels,
        config=config.baseline,
        vocabulary_size=prepared.manifest.vocabulary_size,
        num_classes=num_classes,
    )
    fit_s = time.perf_counter() - started
    metrics, test_confusion = _scores(model, splits, num_classes=num_classes)
    tracker.log_history([{"epoch": 1.0, **metrics, "time/fit_s": fit_s}])
    num_ngrams = len(model.ngrams)
    bundle = write_bundle(
        record.folder / "model",
        config,
        describe_data(prepared),
        weights=model.state_dict(),
        model={"num_ngrams": num_ngrams, "num_words": config.baseline.num_words},
    )
    predictor = Predictor.load(bundle)
    results = record.folder / "results"
    (results / "figures").mkdir(parents=True, exist_ok=True)
    probabilities = save_answers(results / "figures", config, test_confusion, predictor)
    sample = answers([config.sample_text], predictor, probabilities)[0]
    numbers = {"metrics": metrics, "test_confusion": test_confusion.tolist(), "sample": sample}
    (results / "results.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    tracker.log_artifacts(results)
    model_uri = tracker.log_model(bundle)
    tracker.set_tags({"rnnlane.model": "linear", "rnnlane.num_ngrams": str(num_ngrams)})
    return {
        "run_id": tracker.run_id,
        "tracking_uri": redact(tracker.tracking_uri),
        "data_fingerprint": prepared.fingerprint,
        "model_uri": model_uri,
        "metrics": metrics,
        "num_ngrams": num_ngrams,
        "fit_s": fit_s,
        "sample": sample,
        "run_folder": str(record.folder),
    }


def _scores(
    model: LinearClassifier, splits: dict[str, EncodedSplit], *, num_classes: int
) -> tuple[dict[str, float], npt.NDArray[np.int64]]:
    """Metrics of every split, and the confusion on test: int64 [C, C]."""
    group = in_process("cpu")
    found = {name: score(model, split, group=group) for name, split in splits.items()}
    metrics = {
        f"{name}/{key}": value
        for name, scores in found.items()
        for key, value in summarize(scores, num_classes=num_classes).items()
    }
    return metrics, confusion(found["test"], num_classes=num_classes)
