"""What rnnlane does, read top to bottom: prepare, train, baseline, tune, evaluate, predict.

Each function is a verb of the command line, and can be called from a notebook. torch, Ray and
MLflow cost seconds to import, so each function imports what it needs.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import (
    baseline_fingerprint,
    config_fingerprint,
    fingerprint,
    search_fingerprint,
)
from rnnlane.config.load import load_experiment
from rnnlane.config.paths import storage_root
from rnnlane.config.space import data_variants, num_trials
from rnnlane.errors import ConfigError
from rnnlane.records.events import RunEvents

if TYPE_CHECKING:
    from rnnlane.data.prepare.prepared import PreparedData
    from rnnlane.execution.baseline import BaselineResult
    from rnnlane.execution.run import TrainResult
    from rnnlane.inference.predictor import Predictor
    from rnnlane.search.results import SearchResult
    from rnnlane.tracking.store import RunSummary


def prepare(config: ExperimentConfig, *, events: RunEvents | None = None) -> PreparedData:
    """Cleans, tokenises, splits and encodes the reviews, or finds that done already.

    Raises:
        DataError: the source cannot be read or does not fit the experiment.
        JobError: Ray cannot be started or reached.
        ResourceError: a node of the cluster does not reach the storage.
    """
    from rnnlane.data.prepare.pipeline import check_source, find_prepared
    from rnnlane.data.prepare.pipeline import prepare as prepare_on_ray
    from rnnlane.ray_cluster.connect import check_address

    check_address()
    events = events or RunEvents()
    storage = storage_root(config)
    events.stage("looking for prepared data")
    found = find_prepared(config, storage=storage)
    if found is not None:
        return found
    check_source(config)
    from rnnlane.ray_cluster import connect as cluster
    from rnnlane.ray_cluster.storage_check import check_storage

    events.stage("starting Ray")
    cluster.connect(config.runtime, verbose=events.verbose)
    check_storage(config)
    events.stage("preparing")
    return prepare_on_ray(config, storage=storage, events=events)


def train(
    config: ExperimentConfig, *, resume: bool = False, events: RunEvents | None = None
) -> TrainResult:
    """Prepares, trains, tests, and logs one run.

    Args:
        config: the experiment.
        resume: go on with the newest run of this experiment and data, if it was cut off; answer
            with its result, if it was finished.
        events: is told how it goes.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot go on.
    """
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster import connect as cluster
    from rnnlane.records.run_marker import marker_line
    from rnnlane.tracking.uris import resolve_uri

    cluster.check_address()
    events = events or RunEvents()
    store_ready = _in_background(_open_store, resolve_uri(config.tracking.uri))
    prepared = prepare(config, events=events)
    _refuse_unmeasured_metric(config, prepared)
    identity = {
        "config_fingerprint": config_fingerprint(config),
        "data_fingerprint": prepared.fingerprint,
    }
    record = RunRecord.find(**identity) if resume else None
    if resume and record is None:
        events.note("no run of this experiment and data to go on with; starting a new one")
    # Imports torch while Ray's processes start, and not before bad data has been told of.
    running = _in_background(importlib.import_module, "rnnlane.execution.run")
    if config.runtime.max_workers > 0 and (record is None or record.result is None):
        events.stage("starting Ray")
        cluster.connect(config.runtime, verbose=events.verbose)
    store_ready.result()
    record = record or RunRecord.create(config.name, **identity)
    with record.locked() as current:
        if current.result is not None:
            result: TrainResult = running.result().TrainResult(**current.result)
            events.note(marker_line(result.run_id, result.tracking_uri))
            events.note("the run is finished already")
            return result
        trained: TrainResult = running.result().execute_run(
            config, prepared, record=current, events=events
        )
        return trained


def baseline(config: ExperimentConfig, *, events: RunEvents | None = None) -> BaselineResult:
    """Fits TF-IDF and a logistic regression on the experiment's prepared data, and logs the run.

    Raises:
        RnnlaneError: bad input, or a store that is away.
    """
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.tracking.uris import resolve_uri

    events = events or RunEvents()
    store_ready = _in_background(_open_store, resolve_uri(config.tracking.uri))
    prepared = prepare(config, events=events)
    store_ready.result()
    # Only now: it imports torch, and bad data should be told of before those seconds.
    from rnnlane.execution.baseline import execute_baseline

    named = config.tracking.model_copy(
        update={"run_name": config.tracking.run_name or f"{config.name}-baseline"}
    )
    config = config.model_copy(update={"tracking": named})
    record = RunRecord.create(
        f"{config.name}-baseline",
        config_fingerprint=baseline_fingerprint(config),
        data_fingerprint=prepared.fingerprint,
    )
    with record.locked() as current:
        return execute_baseline(config, prepared, record=current, events=events)


def tune(
    config: ExperimentConfig, *, resume: bool = False, events: RunEvents | None = None
) -> SearchResult:
    """Searches what the experiment's ``search`` section says, and logs the search and its trials.

    Args:
        config: an experiment with a search.
        resume: go on with the newest search of this experiment and data: trials that ended are not
            run again, others go on after their last epoch.
        events: is told how it goes.

    Raises:
        RnnlaneError: bad input, too few resources, or a search that cannot go on.
    """
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster import connect as cluster
    from rnnlane.records.run_marker import marker_line
    from rnnlane.tracking.uris import resolve_uri

    if config.search is None:
        raise ConfigError(
            "a search needs a `search` section, but the experiment has none",
            where="search",
            remedy="say what may vary; experiments/search-quick.yaml is an example",
        )
    cluster.check_address()
    events = events or RunEvents()
    store_ready = _in_background(_open_store, resolve_uri(config.tracking.uri))
    variants = data_variants(config)
    prepared = [prepare(variant, events=events) for variant in variants]
    for variant, data in zip(variants, prepared, strict=True):
        _refuse_unmeasured_metric(variant, data)
    store_ready.result()
    identity = {
        "config_fingerprint": search_fingerprint(config),
        "data_fingerprint": fingerprint(sorted(data.fingerprint for data in prepared)),
    }
    # Only now: it imports torch, and bad data should be told of before those seconds.
    from rnnlane.search.results import SearchResult
    from rnnlane.search.search import data_key, execute_search

    record = RunRecord.find(**identity) if resume else None
    if resume and record is None:
        events.note("no search of this experiment and data to go on with; starting a new one")
    record = record or RunRecord.create(config.name, **identity)
    with record.locked() as current:
        if current.state == "finished" and current.result is not None:
            answer = SearchResult(**current.result)
            if answer.num_trials >= num_trials(config):
                events.note(marker_line(answer.run_id, answer.tracking_uri))
                events.note("the search is finished already")
                return answer
        events.stage("starting Ray")
        # A local Ray gets the machine's CPUs and no more: what does not fit them is refused.
        no_workers = config.runtime.model_copy(update={"num_workers": 0})
        cluster.connect(no_workers, verbose=events.verbose)
        by_key = {data_key(v): data for v, data in zip(variants, prepared, strict=True)}
        return execute_search(config, by_key, record=current, events=events)


def _open_store(uri: str) -> None:
    """Imports MLflow and opens the store, which takes seconds, while the data is prepared."""
    from rnnlane.execution.settle_runs import settle_runs
    from rnnlane.tracking.store import check_store

    check_store(uri)
    settle_runs(uri)


def _in_background(function: Any, *arguments: Any) -> Future[Any]:
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=function.__name__)
    future = executor.submit(function, *arguments)
    executor.shutdown(wait=False)
    return future


def _refuse_unmeasured_metric(config: ExperimentConfig, prepared: PreparedData) -> None:
    num_classes = len(prepared.class_names)
    if config.training.metric == "val/roc_auc" and num_classes != 2:
        raise ConfigError(
            f"val/roc_auc is measured for two classes, but the data has {num_classes}",
            where="training.metric",
            remedy="choose val/accuracy or val/macro_f1",
        )


@dataclass(frozen=True)
class Evaluation:
    """How a run's model does on a split.

    Attributes:
        run_id: MLflow's.
        split: train, val or test.
        num_rows: rows of the split.
        metrics: loss, accuracy, macro_f1, and roc_auc for two classes.
        class_names: in the order of the confusion matrix.
        confusion: counts, rows true, columns predicted.
    """

    run_id: str
    split: str
    num_rows: int
    metrics: dict[str, float]
    class_names: tuple[str, ...]
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


def evaluate(
    config: ExperimentConfig | None = None,
    *,
    run: str = "latest",
    split: Literal["train", "val", "test"] = "test",
    tracking_uri: str | None = None,
    events: RunEvents | None = None,
) -> Evaluation:
    """Scores the model of a run on a split of its prepared data.

    Args:
        config: the experiment whose data to use; default: the run's own. Its data must be the
            very data that the run was trained on, because token ids mean words only there.
        run: id, unique prefix of an id, name, or "latest".
        split: which rows.
        tracking_uri: the MLflow store; default the experiment's, else as for training.
        events: is told how it goes.

    Raises:
        ConfigError: no such run, or other data than the run's.
    """
    from rnnlane.tracking.store import download_artifacts, download_model, find_run, resolve_uri

    events = events or RunEvents()
    uri = resolve_uri(tracking_uri or (config.tracking.uri if config else None))
    found = find_run(uri, run)
    with tempfile.TemporaryDirectory() as scratch:
        if config is None:
            file = download_artifacts(uri, found.run_id, "experiment.yaml", Path(scratch))
            config = load_experiment(file)
        prepared = prepare(config, events=events)
        expected = found.tags.get("rnnlane.data_fingerprint")
        if prepared.fingerprint != expected:
            raise ConfigError(
                f"a model is scored on the data it was trained on ({expected}), "
                f"but this experiment's data is {prepared.fingerprint}",
                where=f"run {found.run_id}",
                remedy="name the run's own experiment; for other texts use `rnnlane predict`",
            )
        from rnnlane.inference.predictor import Predictor

        predictor = Predictor.load(download_model(uri, found.run_id, Path(scratch)))
    return _evaluation(found.run_id, prepared, split, predictor)


def _evaluation(
    run_id: str, prepared: PreparedData, split: str, predictor: Predictor
) -> Evaluation:
    from rnnlane.training.group import in_process
    from rnnlane.training.loop import cpu_settings
    from rnnlane.training.metrics import confusion, score, summarize

    num_classes = len(prepared.class_names)
    rows = prepared.split(split)
    group = in_process("cpu")
    with cpu_settings(group):
        scores = score(predictor.logits, rows, group=group)
    return Evaluation(
        run_id=run_id,
        split=split,
        num_rows=len(rows),
        metrics=summarize(scores, num_classes=num_classes),
        class_names=prepared.class_names,
        confusion=confusion(scores, num_classes=num_classes).tolist(),
    )


def predict(
    texts: Sequence[str], *, run: str = "latest", tracking_uri: str | None = None
) -> list[dict[str, Any]]:
    """Asks the model of a run.

    Args:
        texts: what to classify.
        run: id, unique prefix of an id, name, or "latest".
        tracking_uri: the MLflow store; default as for training.

    Returns:
        For each text ``text``, ``label`` and ``probabilities`` by class name.

    Raises:
        ConfigError: no such run, or it has no model.
    """
    predictor = _predictor(tracking_uri, run)
    from rnnlane.reports.artifacts import answers

    return answers(texts, predictor, predictor.probabilities(texts))


def _predictor(tracking_uri: str | None, run: str) -> Predictor:
    """Loads a run's model; another process fetches it while torch is imported here.

    Where torch is there already, nothing would be gained and a process's start lost.
    """
    from rnnlane.tracking.model_fetcher import ModelFetcher
    from rnnlane.tracking.store import download_model, find_run, resolve_uri

    uri = resolve_uri(tracking_uri)
    with tempfile.TemporaryDirectory() as scratch:
        if "torch" in sys.modules:
            from rnnlane.inference.predictor import Predictor

            return Predictor.load(download_model(uri, find_run(uri, run).run_id, Path(scratch)))
        with ModelFetcher(uri, run, Path(scratch)) as fetcher:
            from rnnlane.inference.predictor import Predictor

            return Predictor.load(fetcher.folder())


def list_runs(
    *,
    tracking_uri: str | None = None,
    mlflow_experiment: str | None = None,
    limit: int = 20,
    with_trials: bool = False,
) -> tuple[list[RunSummary], int]:
    """The newest runs of the store, after :func:`rnnlane.execution.settle_runs.settle_runs`.

    Returns:
        The runs, and how many records were sent.
    """
    from rnnlane.execution.settle_runs import settle_runs
    from rnnlane.tracking import store

    uri = store.resolve_uri(tracking_uri)
    sent = settle_runs(uri)
    found = store.list_runs(
        uri, mlflow_experiment=mlflow_experiment, limit=limit, with_trials=with_trials
    )
    return found, sent
