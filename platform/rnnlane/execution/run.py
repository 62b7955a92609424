"""One training run, from its MLflow record's start to its end, whatever the end is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.paths import storage_root
from rnnlane.data.prepare.prepared import SPLITS, PreparedData
from rnnlane.data.storage import joined
from rnnlane.errors import redact
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.environment import describe_environment
from rnnlane.execution.in_process import train_here
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.predictor import Predictor
from rnnlane.models.vectors import load_vectors
from rnnlane.ray_cluster import connect as cluster
from rnnlane.ray_cluster.storage_check import check_storage
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.records.run_marker import marker_line
from rnnlane.reports.artifacts import (
    DataDescription,
    answers,
    clipped_fraction,
    write_bundle,
    write_inputs,
    write_results,
)
from rnnlane.tracking.run import RunSpec, start_run
from rnnlane.tracking.store import find_tagged, resolve_uri
from rnnlane.tracking.tracker import Tracker
from rnnlane.tracking.uris import store_identity
from rnnlane.training.loop import Outcome, TrainingData

PREDICTOR = "rnnlane.inference:Predictor"


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        run_id: MLflow's.
        tracking_uri: the MLflow store, without passwords.
        config_fingerprint: identity of the experiment.
        data_fingerprint: identity of the prepared data.
        prepared_path: where the prepared data is.
        model_uri: what ``mlflow.pyfunc.load_model`` takes.
        metrics: the last epoch's by key, the test's as ``test/...``; below ``last`` and ``best``
            the two epochs apart, both with the test's.
        epochs: epochs trained.
        best_epoch: the epoch that the model is of, from 1.
        clip: max_norm, reason, clipped_fraction.
        sample: the answer for the sample sentence.
        run_folder: the run's local files.
        is_tracked: whether the store has everything; else the rest waits in the outbox.
    """

    run_id: str
    tracking_uri: str
    config_fingerprint: str
    data_fingerprint: str
    prepared_path: str
    model_uri: str
    metrics: dict[str, Any]
    epochs: int
    best_epoch: int
    clip: dict[str, Any]
    sample: dict[str, Any]
    run_folder: str
    is_tracked: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


def execute_run(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, events: RunEvents
) -> TrainResult:
    """Trains, tests and logs one run; its status tells the truth whatever happens.

    Ray must be connected where the experiment has workers. What can be refused is refused before
    MLflow knows of the run.
    """
    try:
        data = training_data(config, prepared)
        on_ray = config.runtime.max_workers > 0
        gpu = on_ray and cluster.use_gpu(config.runtime)
        if on_ray:
            check_storage(config)
        tracker = start_tracking(config, prepared, record)
    except BaseException:
        record.discard_unstarted()
        raise
    record = record.update(
        run_id=tracker.run_id, tracking_uri=store_identity(tracker.tracking_uri), state="running"
    )
    events.note(marker_line(tracker.run_id, tracker.tracking_uri))
    store = CheckpointStore(joined(storage_root(config), "checkpoints", record.key))
    told = _TrackedEvents(events, tracker)
    try:
        log_inputs(config, prepared, record=record, tracker=tracker)
        events.stage("starting the workers")
        if on_ray:
            import ray

            from rnnlane.execution.on_ray import train_on_ray

            outcome = train_on_ray(
                config, ray.put(data), store=store, events=told, gpus_per_worker=float(gpu)
            )
        else:
            outcome = train_here(config, data, store=store, events=told)
        events.stage("testing and logging the model")
        result = _conclude(config, prepared, outcome, record=record, tracker=tracker)
    except KeyboardInterrupt:
        record.update(state="killed")
        tracker.finish("KILLED", reason="interrupted")
        events.note(f"run {tracker.run_id} was interrupted; go on with --resume")
        raise
    except BaseException as error:
        record.update(state="failed")
        tracker.finish("FAILED", reason=str(error) or type(error).__name__)
        raise
    # Before it is delivered: that may take long, and be interrupted.
    record = record.update(state="finished", result=result.as_dict())
    if not is_delivered(tracker, record=record, events=events):
        result = replace(result, is_tracked=False)
        record.update(result=result.as_dict())
    return result


class _TrackedEvents(RunEvents):
    """Passes news on, and every epoch to the tracker first."""

    def __init__(self, events: RunEvents, tracker: Tracker):
        self._events = events
        self._tracker = tracker

    def progress(self, progress: Progress) -> None:
        self._events.progress(progress)

    def epoch(self, history: list[dict[str, float]]) -> None:
        self._tracker.log_history(history)
        self._events.epoch(history)

    def note(self, text: str) -> None:
        self._events.note(text)


def is_delivered(tracker: Tracker, *, record: RunRecord, events: RunEvents) -> bool:
    """Ends a finished run and waits until the store has everything; says so where it has not."""
    try:
        complete = tracker.finish("FINISHED")
    except KeyboardInterrupt:
        complete = False
    if not complete:
        events.note(
            f"the tracking server has not got everything; the rest is kept in {record.folder} "
            "and sent by the next `rnnlane train` or `rnnlane runs`"
        )
    return complete


def start_tracking(
    config: ExperimentConfig,
    prepared: PreparedData,
    record: RunRecord,
    *,
    left_out: Collection[str] = ("baseline",),
) -> Tracker:
    """Creates the MLflow run, or takes it up again.

    Args:
        config: its sections become the run's params.
        prepared: what the run learns from.
        record: the run's record on this machine.
        left_out: sections that say nothing about this run.
    """
    parameters = flattened(
        config.model_dump(mode="json", exclude={"tracking", "description", *left_out})
    )
    tags = {
        "rnnlane.config_fingerprint": record.config_fingerprint,
        "rnnlane.data_fingerprint": record.data_fingerprint,
        "rnnlane.run_key": record.key,
        "rnnlane.experiment": config.name,
        **({"mlflow.note.content": config.description} if config.description else {}),
        **describe_environment(),
        **config.tracking.tags,
    }
    spec = RunSpec(
        name=config.tracking.run_name or config.name,
        params=parameters,
        tags=tags,
        class_names=prepared.class_names,
        predictor=PREDICTOR,
    )
    run_id = record.run_id
    if run_id is None:
        # A driver that died at the wrong moment may have left the run without knowing its id.
        uri = resolve_uri(config.tracking.uri)
        run_id = find_tagged(uri, "rnnlane.run_key", record.key)
    return start_run(config.tracking, spec, outbox=record.outbox, resume_run_id=run_id)


def log_inputs(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, tracker: Tracker
) -> None:
    """Logs what a run starts from, once."""
    inputs = record.folder / "inputs"
    if not inputs.exists():
        write_inputs(inputs, config, describe_data(prepared))
        tracker.log_artifacts(inputs)


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def describe_data(prepared: PreparedData) -> DataDescription:
    """What the artifacts say of the prepared data."""
    return DataDescription(
        manifest=prepared.manifest.model_dump_json(indent=1),
        vocabulary=prepared.vocabulary_text(),
        class_names=prepared.class_names,
    )


def training_data(
    config: ExperimentConfig, prepared: PreparedData, *, splits: Sequence[str] = SPLITS
) -> TrainingData:
    """Reads prepared data, and pretrained vectors where the model wants them.

    Raises:
        DataError: a file cannot be read or does not fit.
    """
    vectors = None
    if config.model.pretrained_vectors is not None:
        vectors = load_vectors(
            config.model.pretrained_vectors,
            prepared.vocabulary().tokens,
            embedding_dim=config.model.embedding_dim,
        )
    return TrainingData(
        splits={name: prepared.split(name) for name in splits},
        num_classes=len(prepared.class_names),
        vocabulary_size=prepared.manifest.vocabulary_size,
        vectors=vectors,
    )


def _conclude(
    config: ExperimentConfig,
    prepared: PreparedData,
    outcome: Outcome,
    *,
    record: RunRecord,
    tracker: Tracker,
) -> TrainResult:
    """Logs the test metrics, the pictures and the model, and says what came out."""
    tracker.log_history(outcome.history)
    bundle = write_bundle(
        record.folder / "model",
        config,
        describe_data(prepared),
        weights=outcome.weights,
        model=config.model.model_dump(mode="json"),
    )
    predictor = Predictor.load(bundle)
    write_results(record.folder / "results", config, outcome, predictor)
    tracker.log_artifacts(record.folder / "results")
    model_uri = tracker.log_model(bundle)
    tracker.set_tags(
        {
            "rnnlane.best_epoch": str(outcome.best_epoch),
            "rnnlane.clip_norm": str(outcome.clip["max_norm"]),
            "rnnlane.clip_reason": outcome.clip["reason"],
        }
    )
    best = outcome.history[outcome.best_epoch - 1]
    test = {key: value for key, value in best.items() if key.startswith("test/")}
    last = {**outcome.history[-1], **test}
    sample = [config.sample_text]
    return TrainResult(
        run_id=tracker.run_id,
        tracking_uri=redact(tracker.tracking_uri),
        config_fingerprint=record.config_fingerprint,
        data_fingerprint=record.data_fingerprint,
        prepared_path=prepared.path,
        model_uri=model_uri,
        metrics={**last, "last": last, "best": best},
        epochs=len(outcome.history),
        best_epoch=outcome.best_epoch,
        clip={**outcome.clip, "clipped_fraction": clipped_fraction(outcome)},
        sample=answers(sample, predictor, predictor.probabilities(sample))[0],
        run_folder=str(record.folder),
    )
