"""One training run: train in process or on Ray, test, and log the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.paths import storage_root
from rnnlane.config.section import ValMetric
from rnnlane.data.batches.encoded import appended
from rnnlane.data.batches.file_split import FileSplit, ScoredSplit
from rnnlane.data.prepare.prepared import SPLITS, UNLABELED_SPLIT, PreparedData
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, Vocabulary
from rnnlane.data.storage import joined
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.data_checks import check_some_unlabeled
from rnnlane.execution.datasets import describe_datasets
from rnnlane.execution.in_process import train_in_process
from rnnlane.execution.lifecycle import TrackedRun, describe_run, tracked_run
from rnnlane.execution.pretrained import fetch_start
from rnnlane.execution.reporting import calibrate, write_answers_and_report
from rnnlane.execution.run_record import RunRecord
from rnnlane.execution.streaming import copies, streamed_splits
from rnnlane.inference.bundle import save_bundle
from rnnlane.inference.calibration import TemperatureChoice
from rnnlane.inference.predictor import Predictor
from rnnlane.models.ngrams import check_size
from rnnlane.models.vector_files import VectorMatch, Vectors, check_match, load_vectors
from rnnlane.pretraining.bundle import check_split
from rnnlane.ray_cluster import connect as cluster
from rnnlane.ray_cluster.storage_check import check_storage
from rnnlane.records.events import ForwardedEvents, RunEvents
from rnnlane.records.refit import chosen_among, epochs_of_refit
from rnnlane.records.results import TrainResult
from rnnlane.records.system_use import SystemUse
from rnnlane.reports.artifacts import clipped_fraction, write_inputs, write_results
from rnnlane.reports.classes import describe_classes
from rnnlane.reports.run_facts import RunFacts
from rnnlane.reports.sample import sample_answer
from rnnlane.reports.verdict import divergence
from rnnlane.tracking.run import MlflowTracker, start_run
from rnnlane.tracking.run_links import SEARCH_RUN_TAG
from rnnlane.training.loop import TRAIN_AND_VAL, Outcome, TrainingData, TrainingLoop, run_training
from rnnlane.training.schedule import best_epoch

NGRAMS = "model.ngrams"


def execute_run(
    config: ExperimentConfig, prepared: PreparedData, *, record: RunRecord, events: RunEvents
) -> TrainResult:
    """Trains, tests and logs one run.

    Ray must be connected if the experiment has workers. All checks precede the creation of the
    MLflow run.
    """
    return run_checked(checked_work(config, prepared, events), record=record, events=events)


@dataclass(frozen=True)
class Work:
    """What is to be trained, and where, after all checks.

    Attributes:
        config: the experiment, with counted workers.
        prepared: its prepared data.
        data: the same as training reads it.
        shared: a reference to ``data`` in Ray's object store; None without workers.
        gpus_per_worker: 0 or 1.
        match: how much of the vocabulary has a pretrained vector; None if none are used.
    """

    config: ExperimentConfig
    prepared: PreparedData
    data: TrainingData
    shared: Any
    gpus_per_worker: float
    match: VectorMatch | None

    def params(self) -> dict[str, Any]:
        """Of the MLflow run; nested."""
        exclude = {"tracking", "description", "baseline"}
        params = self.config.model_dump(mode="json", exclude=exclude)
        del params["training"]["seeds"]  # a run is of one, or of those that its tag names
        if self.match is not None:
            params["model"]["matched_vector_share"] = round(self.match.share, 4)
        return params


def checked_work(config: ExperimentConfig, prepared: PreparedData, events: RunEvents) -> Work:
    """Reads the data, and checks what can be checked before a run starts.

    Raises:
        RnnlaneError: the data, the cluster or its storage does not fit the experiment.
    """
    config = cluster.with_counted_workers(config, events)
    data = training_data(config, prepared, events=events)
    shared, use_gpu = None, False
    if config.runtime.max_workers > 0:
        import ray

        use_gpu = cluster.use_gpu(config.runtime)
        check_storage(config)
        shared = ray.put(data)
    match = vector_match(data, prepared)
    if match is not None:
        events.note(str(match))
    return Work(config, prepared, data, shared, float(use_gpu), match)


def run_checked(
    work: Work, *, record: RunRecord, events: RunEvents, tags: Mapping[str, str] | None = None
) -> TrainResult:
    """Trains, tests and logs one run, which has these tags in MLflow too."""
    config, prepared, data = work.config, work.prepared, work.data
    spec = describe_run(
        config, record, params=work.params(), class_names=prepared.class_names, tags=tags
    )
    with tracked_run(start_run, spec, config=config.tracking, record=record, events=events) as run:
        run.log_inputs(
            lambda folder: write_inputs(folder, config, prepared),
            describe_datasets(prepared, tuple(prepared.manifest.splits)),
        )
        if (search_run_id := config.tracking.tags.get(SEARCH_RUN_TAG)) is not None:
            run.tracker.link_search(search_run_id)
        run.events.stage("starting the workers")
        tracked = TrackedEvents(run.events, run.tracker, metric=config.training.metric)
        outcome = trained_outcome(
            config,
            data,
            store=store_of(config, record),
            events=tracked,
            shared=work.shared,
            gpus_per_worker=work.gpus_per_worker,
        )
        run.events.stage("testing and logging the model")
        result = _log_outcome(config, prepared, outcome, splits=data.splits, run=run)
        return run.conclude(lambda is_tracked: replace(result, is_tracked=is_tracked))


def store_of(config: ExperimentConfig, record: RunRecord) -> CheckpointStore:
    """The checkpoints of a run."""
    return CheckpointStore(joined(storage_root(config), "checkpoints", record.key))


def trained_outcome(
    config: ExperimentConfig,
    data: TrainingData,
    *,
    store: CheckpointStore,
    events: RunEvents,
    shared: Any,
    gpus_per_worker: float,
    loop: TrainingLoop = run_training,
) -> Outcome:
    """Trains on Ray's workers or in this process.

    Args:
        config: the experiment.
        data: what to train on.
        store: of the checkpoints.
        events: gets what happens.
        shared: see :class:`Work`.
        gpus_per_worker: see :class:`Work`.
        loop: of a classifier, or of a language model.
    """
    if shared is None:
        return train_in_process(config, data, store=store, events=events, loop=loop)
    from rnnlane.execution.on_ray import train_on_ray

    return train_on_ray(
        config, shared, store=store, events=events, gpus_per_worker=gpus_per_worker, loop=loop
    )


class TrackedEvents(ForwardedEvents):
    """Passes events on, and logs every epoch that is saved, and which of them is the best.

    Not as soon as it has ended: what a restart trains again may get other values, as with another
    number of workers, and MLflow keeps every value that it was ever given.
    """

    def __init__(self, events: RunEvents, tracker: MlflowTracker, *, metric: ValMetric):
        super().__init__(events)
        self._tracker = tracker
        self._metric = metric

    def saved(self, history: list[dict[str, float]]) -> None:
        """Logs the epochs, and passes them on."""
        best = best_epoch(self._metric, chosen_among(history)) + 1 if history else None
        self._tracker.log_history(history, best)
        super().saved(history)

    def system_use(self, use: SystemUse) -> None:
        """Logs the sample, and passes it on."""
        self._tracker.add_system_use(use)
        super().system_use(use)


def training_data(
    config: ExperimentConfig,
    prepared: PreparedData,
    *,
    splits: Sequence[str] = SPLITS,
    events: RunEvents | None = None,
) -> TrainingData:
    """Reads prepared data, and the pretrained vectors if the model uses them.

    Args:
        config: the experiment.
        prepared: its data.
        splits: what is read.
        events: told where the splits are not read, but streamed.

    Raises:
        DataError: a file cannot be read or does not match the experiment, or hardly any word has
            a pretrained vector.
        ConfigError: the model's n-grams take too much memory.
    """
    if config.model.ngrams is not None:
        check_size(config.model.ngrams, num_classes=len(prepared.class_names))
    vectors = None
    if config.model.pretrained_vectors is not None:
        vectors = _word_vectors(config.model.pretrained_vectors, config, prepared.vocabulary())
    start = fetch_start(config)
    if start is not None:
        check_split(start, config, source=prepared.manifest.source.fingerprint)
    refits = config.training.refit and "test" in splits  # a search refits nothing
    streamed = streamed_splits(config, prepared, refits=refits, events=events or RunEvents())
    read: dict[str, ScoredSplit] = {}
    if streamed:
        held_out = [name for name in splits if name not in streamed]
        read |= {name: FileSplit(prepared, name, cache=copies(config)) for name in held_out}
    else:
        in_memory = {name: prepared.split(name) for name in splits}
        if refits:
            # Here, so that the workers of a node share one copy.
            in_memory[TRAIN_AND_VAL] = appended(in_memory["train"], in_memory["val"])
        read |= in_memory
    if config.training.reads_unlabeled:
        check_some_unlabeled(prepared)
        read[UNLABELED_SPLIT] = prepared.split(UNLABELED_SPLIT)
    return TrainingData(
        splits=read,
        streamed=streamed,
        num_classes=len(prepared.class_names),
        start=None if start is None else start.weights,
        vocabulary_size=prepared.manifest.vocabulary_size,
        vectors=vectors,
        class_names=prepared.class_names,
        row_keys=prepared.held_out_keys() if "test" in splits else {},
        word_keys=prepared.vocabulary().word_keys if _may_read_ngrams(config) else None,
    )


def _may_read_ngrams(config: ExperimentConfig) -> bool:
    """Whether the experiment's model has n-grams, or that of a trial may."""
    space = {} if config.search is None else config.search.space
    return config.model.ngrams is not None or any(key.startswith(NGRAMS) for key in space)


def vector_match(data: TrainingData, prepared: PreparedData) -> VectorMatch | None:
    """How much of the vocabulary has a pretrained vector; None if none are used."""
    if data.vectors is None:
        return None
    special = UNKNOWN_ID + 1
    return VectorMatch.of(prepared.vocabulary().counts[special:], data.vectors[1][special:])


def _word_vectors(path: str, config: ExperimentConfig, vocabulary: Vocabulary) -> Vectors:
    width, tokens = config.model.embedding_dim, vocabulary.tokens
    matrix, has_vector = load_vectors(path, tokens, embedding_dim=width)
    special = UNKNOWN_ID + 1
    check_match(
        path,
        tokens[special:],
        vocabulary.counts[special:],
        has_vector[special:],
        embedding_dim=width,
        min_share=config.model.min_vector_share,
    )
    return matrix, has_vector


def _log_outcome(
    config: ExperimentConfig,
    prepared: PreparedData,
    outcome: Outcome,
    *,
    splits: Mapping[str, ScoredSplit],
    run: TrackedRun[MlflowTracker],
) -> TrainResult:
    """Logs the metrics, the figures and the model, and returns the result."""
    record, tracker = run.record, run.tracker
    tracker.log_history([*outcome.history, *outcome.refit], outcome.best_epoch)
    bundle = record.folder / "model"
    save_bundle(
        bundle,
        weights=outcome.weights,
        vocabulary=prepared.vocabulary_text(),
        text=config.text,
        model=config.model.model_dump(mode="json"),
        class_names=prepared.class_names,
    )
    temperature = calibrate(config, bundle, outcome.predictions)
    predictor = Predictor.load(bundle)
    names, results = prepared.class_names, record.folder / "results"
    sample = sample_answer(config, predictor, val=splits["val"], prepared=prepared)
    write_results(results, config, outcome, class_names=names, sample=sample)
    best = outcome.history[outcome.best_epoch - 1]
    facts = _facts(config, prepared, outcome, temperature=temperature, sample=sample)
    report = write_answers_and_report(results, facts, prepared=prepared, splits=splits)
    tracker.log_artifacts(results)
    example = sample["text"] if sample else None
    model_uri = tracker.log_model(bundle, best_epoch=outcome.best_epoch, example=example)
    tracker.set_tags(
        {
            "rnnlane.best_epoch": str(outcome.best_epoch),
            "rnnlane.clip_norm": str(outcome.clip["max_norm"]),
            "rnnlane.clip_reason": outcome.clip["reason"],
            "rnnlane.temperature": f"{temperature.used:.6g}",
        }
    )
    test = {key: value for key, value in best.items() if key.startswith("test/")}
    last = {**outcome.history[-1], **test}
    return TrainResult(
        **run.addresses,
        config_fingerprint=record.config_fingerprint,
        data_fingerprint=record.data_fingerprint,
        prepared_path=prepared.path,
        model_uri=model_uri,
        metrics={**last, "last": last, "best": best},
        epochs=len(outcome.history),
        best_epoch=outcome.best_epoch,
        clip=dict(facts.clip),
        sample=sample,
        report=str(report or ""),
        temperature=temperature.used,
        verdict=facts.verdict,
        metric=config.training.metric,
        refit=next(iter(epochs_of_refit(outcome.refit[-1:])), None),
        **_described(outcome, names),
    )


def _facts(
    config: ExperimentConfig,
    prepared: PreparedData,
    outcome: Outcome,
    *,
    temperature: TemperatureChoice,
    sample: Mapping[str, Any] | None,
) -> RunFacts:
    """What the report is about."""
    return RunFacts(
        config=config,
        manifest=prepared.manifest,
        metrics=outcome.history[outcome.best_epoch - 1],
        confusions=outcome.confusions,
        predictions=outcome.predictions,
        temperature=temperature,
        history=outcome.history,
        refit=epochs_of_refit(outcome.refit),
        best_epoch=outcome.best_epoch,
        clip={**outcome.clip, "clipped_fraction": clipped_fraction(outcome)},
        sample=sample,
    )


def _described(outcome: Outcome, class_names: Sequence[str]) -> dict[str, Any]:
    """What a result says of the classes, and of an end that was worse than the model."""
    described = describe_classes(outcome.confusions, class_names)
    refit, best = epochs_of_refit(outcome.refit), outcome.best_epoch
    if diverged := divergence(outcome.history, num_classes=len(class_names)):
        model = f"a refit of {best} epochs" if refit else f"that of epoch {best}"
        described["notes"].append(f"{diverged}; the model is {model}")
    if diverged := divergence(refit, num_classes=len(class_names)):
        described["notes"].append(f"in the refit, {diverged}")
    if refit:
        described["notes"].append(
            f"the model is refitted on train and val, epochs: {len(refit)}; the test figures are "
            f"its own, the val figures are those of epoch {best} before the refit"
        )
    return described
