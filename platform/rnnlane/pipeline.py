"""The verbs, read from top to bottom: prepare, train, baseline, tune, evaluate, predict, compare.

Each function is a verb of the command line, and can be called from a notebook. torch, Ray and
MLflow take seconds to import, so each function imports what it needs where it needs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import baseline_fingerprint, fingerprint
from rnnlane.config.load import load_experiment
from rnnlane.config.paths import check_writable, storage_root
from rnnlane.config.space import data_variants, num_trials
from rnnlane.errors import ConfigError
from rnnlane.records.draft import ExperimentDraft, Hints
from rnnlane.records.events import RunEvents
from rnnlane.records.results import (
    BaselineResult,
    Comparison,
    Evaluation,
    SearchResult,
    TrainResult,
)
from rnnlane.records.run_marker import marker_line

if TYPE_CHECKING:
    from rnnlane.config.runtime import Device, RuntimeConfig
    from rnnlane.data.prepare.prepared import PreparedData
    from rnnlane.execution.inventory import Inventory, Limits
    from rnnlane.records.results import Promotion
    from rnnlane.tracking.store import RunSummary


def init_experiment(
    path: str,
    *,
    output: str | None = None,
    name: str | None = None,
    hints: Hints | None = None,
    force: bool = False,
) -> ExperimentDraft:
    """Finds out what files of labeled texts are like, and writes an experiment for them.

    Args:
        path: a csv, tsv, jsonl or Parquet file, or a folder, a glob or a URI of such files.
        output: the experiment to write; default: ``NAME.yaml`` in the working directory. The
            schema for editors is written beside it.
        name: of the experiment; default: that of the file.
        hints: what is known of the files.
        force: replace a file that is there already.

    Raises:
        DataError: the files cannot be read, or hold no labeled texts.
        ConfigError: a hint or the name is not valid, or the file to write exists.
    """
    from rnnlane.config.new_files import check_is_new, write_experiment
    from rnnlane.data.survey.draft import default_name, draft_experiment

    name = name or default_name(path)
    file = Path(output or f"{name}.yaml")
    check_is_new(file, force=force)
    draft = draft_experiment(path, name=name, hints=hints or Hints())
    write_experiment(file, draft.yaml)
    return replace(draft, path=str(file))


def copy_examples(folder: str, *, force: bool = False) -> list[str]:
    """Copies the experiments that come with rnnlane into a folder; returns the paths.

    Raises:
        ConfigError: an experiment of that name is there, with another content.
    """
    from rnnlane.config.new_files import write_examples

    return write_examples(Path(folder), force=force)


def prepare(
    config: ExperimentConfig, *, events: RunEvents | None = None, report: bool = True
) -> PreparedData:
    """Cleans, tokenizes, splits and encodes the texts, or reuses existing prepared data.

    Args:
        config: the experiment.
        events: receives the progress.
        report: whether they also receive what became of the rows, in a few lines.

    Raises:
        DataError: the source cannot be read or does not match the experiment.
        JobError: Ray cannot be started or reached, or fails more often than may be.
        ResourceError: a node of the cluster does not reach the storage.
    """
    events = events or RunEvents()
    prepared = _prepared(config, events)
    if report:
        _report([config], [prepared], events)
    return prepared


def _prepared(config: ExperimentConfig, events: RunEvents) -> PreparedData:
    from rnnlane.data.prepare.pipeline import check_source, find_prepared
    from rnnlane.ray_cluster.address import check_address

    check_address()
    storage = storage_root(config)
    events.stage("looking for prepared data")
    prepared = find_prepared(config, storage=storage)
    if prepared is not None and _hold(prepared):
        return prepared
    check_writable(config)
    check_source(config)
    from rnnlane.execution.preparation import prepare_on_ray
    from rnnlane.ray_cluster.storage_check import check_storage

    _start_ray(config.runtime, events)
    check_storage(config)
    events.stage("preparing")
    prepared = prepare_on_ray(config, storage=storage, events=events)
    _hold(prepared)
    return prepared


def _start_ray(config: RuntimeConfig, events: RunEvents) -> None:
    """Connects to Ray, and says where the dashboard of one is that is started."""
    from rnnlane.ray_cluster.address import starts_own_ray
    from rnnlane.ray_cluster.connect import connect

    events.stage("starting Ray" if starts_own_ray() else "connecting to Ray")
    dashboard = connect(config, verbose=events.verbose)
    if dashboard is not None:
        events.note(f"Ray's dashboard until this command ends: {dashboard}")


def _hold(prepared: PreparedData) -> bool:
    """Keeps prepared data from being removed while the object lives; False if it just was."""
    from rnnlane.data.in_use import hold
    from rnnlane.data.prepare.prepared import MANIFEST_NAME

    folder = Path(prepared.path)
    if "://" in prepared.path:  # where `rnnlane clean` removes no data
        return True
    hold(folder, owner=prepared)
    return (folder / MANIFEST_NAME).exists()


def train(
    config: ExperimentConfig, *, resume: bool = False, events: RunEvents | None = None
) -> TrainResult:
    """Prepares, trains, tests, and logs one run.

    Args:
        config: the experiment.
        resume: continue the newest run of this experiment and data if it was interrupted; return
            its result if it has finished.
        events: receives the progress.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot continue.
    """
    from rnnlane.execution.attempt import record_of_attempt, run_to_continue
    from rnnlane.execution.data_checks import check_classes, check_word_vectors
    from rnnlane.execution.identity import computed_fingerprint
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster.capacity import check_own

    events = events or RunEvents()
    check_writable(config)
    check_own(config.runtime)
    check_word_vectors(config, events)
    prepared = prepare(config, events=events, report=False)
    check_classes(config, prepared)
    identity = {
        "config_fingerprint": computed_fingerprint(config.model_copy(update={"search": None})),
        "data_fingerprint": prepared.fingerprint,
    }
    record = run_to_continue(identity, kind="run", events=events) if resume else None
    record = record or RunRecord.create(config.name, **identity)
    with record.locked(note=events.note) as current:
        if current.state == "finished" and current.result is not None:
            finished = TrainResult(**current.result)
            _note_finished(finished, "the run has already finished", events)
            return finished
        if config.runtime.max_workers > 0:
            _start_ray(config.runtime, events)
        _open_store(config.tracking.uri)
        started = record_of_attempt(current, config, [prepared])
        # Not before all checks: what is refused is told in one line.
        _report([config], [prepared], events)
        # After the data has been checked: it imports torch, which takes seconds.
        from rnnlane.execution.run import execute_run

        return execute_run(config, prepared, record=started, events=events)


def baseline(config: ExperimentConfig, *, events: RunEvents | None = None) -> BaselineResult:
    """Fits TF-IDF and a logistic regression on the experiment's prepared data, and logs the run.

    Raises:
        RnnlaneError: bad input, or the store cannot be reached.
    """
    from rnnlane.execution.attempt import record_of_attempt
    from rnnlane.execution.run_record import RunRecord

    events = events or RunEvents()
    prepared = prepare(config, events=events, report=False)
    _open_store(config.tracking.uri)
    _report([config], [prepared], events)
    from rnnlane.execution.baseline import execute_baseline

    name = f"{config.name}-baseline"
    tracking = config.tracking.model_copy(update={"run_name": config.tracking.run_name or name})
    config = config.model_copy(update={"tracking": tracking})
    record = RunRecord.create(
        name,
        config_fingerprint=baseline_fingerprint(config),
        data_fingerprint=prepared.fingerprint,
    )
    with record.locked(note=events.note) as current:
        started = record_of_attempt(current, config, [prepared])
        return execute_baseline(config, prepared, record=started, events=events)


def tune(
    config: ExperimentConfig, *, resume: bool = False, events: RunEvents | None = None
) -> SearchResult:
    """Runs the search in the experiment's ``search`` section, and logs it and its trials.

    Args:
        config: an experiment with a search.
        resume: continue the newest search of this experiment and data: trials that have ended are
            not run again, others continue after their last epoch.
        events: receives the progress.

    Raises:
        RnnlaneError: bad input, too few resources, or a search that cannot continue.
    """
    from rnnlane.execution.attempt import record_of_attempt, run_to_continue
    from rnnlane.execution.data_checks import check_classes, check_word_vectors
    from rnnlane.execution.identity import computed_fingerprint
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster.capacity import check_own_trials

    if config.search is None:
        raise ConfigError(
            "a search needs a `search` section, but the experiment has none",
            where="search",
            remedy="say what may vary; experiments/search-quick.yaml is an example",
        )
    events = events or RunEvents()
    check_writable(config)
    check_own_trials(config.search, config.runtime.device)
    check_word_vectors(config, events)
    variants = data_variants(config)
    prepared = [prepare(variant, events=events, report=False) for variant in variants]
    for variant, data in zip(variants, prepared, strict=True):
        check_classes(variant, data)
    identity = {
        "config_fingerprint": computed_fingerprint(config),
        "data_fingerprint": fingerprint(sorted(data.fingerprint for data in prepared)),
    }
    record = (
        run_to_continue(identity, kind="search", events=events, num_trials=num_trials(config))
        if resume
        else None
    )
    record = record or RunRecord.create(config.name, **identity)
    with record.locked(note=events.note) as current:
        if current.state == "finished" and current.result is not None:
            finished = SearchResult(**current.result)
            if finished.num_trials >= num_trials(config):
                _note_finished(finished, "the search has already finished", events)
                return finished
        # A local Ray gets the CPUs of this machine and no more: trials that do not fit are refused.
        no_workers = config.runtime.model_copy(update={"num_workers": 0})
        _start_ray(no_workers, events)
        _open_store(config.tracking.uri)
        started = record_of_attempt(current, config, prepared)
        _report(variants, prepared, events)
        # After the data has been checked: it imports torch, which takes seconds.
        from rnnlane.search.search import data_key, execute_search

        by_key = {data_key(v): data for v, data in zip(variants, prepared, strict=True)}
        return execute_search(config, by_key, record=started, events=events)


def _report(
    variants: Sequence[ExperimentConfig], prepared: Sequence[PreparedData], events: RunEvents
) -> None:
    """Says what became of the rows of each data set."""
    from rnnlane.data.prepare.report import variant_lines

    for line in variant_lines(variants, [data.manifest for data in prepared]):
        events.note(line)


def _open_store(configured: str | None) -> None:
    """Checks that the store can be used, and closes the runs whose drivers died."""
    from rnnlane.execution.lifecycle import close_abandoned_runs
    from rnnlane.tracking.store import check_store
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(configured)
    check_store(uri)
    close_abandoned_runs(uri)


def _note_finished(result: TrainResult | SearchResult, note: str, events: RunEvents) -> None:
    events.note(marker_line(result.run_id, result.tracking_uri, page=result.run_url))
    events.note(note)


def evaluate(
    config: ExperimentConfig | None = None,
    *,
    run: str = "latest",
    split: Literal["train", "val", "test"] = "test",
    data: str | None = None,
    device: Device = "auto",
    tracking_uri: str | None = None,
    events: RunEvents | None = None,
) -> Evaluation:
    """Scores the model of a run on a split of its prepared data, or on other labeled texts.

    Args:
        config: the experiment that names the data and its columns; default: the run's own. For a
            split it must be the data that the run was trained on, because the token ids belong to
            its vocabulary.
        run: an id, the unique prefix of an id, a name, or "latest".
        split: which rows to score.
        data: a labeled file to score instead of a split: csv, tsv, jsonl or Parquet.
        device: where to classify; auto takes a GPU if there is one.
        tracking_uri: the MLflow store; default: the experiment's, else as for training.
        events: receives the progress.

    Raises:
        ConfigError: there is no such run or device, or its data is different.
        ResourceError: a GPU is wanted, but there is none, or memory runs out.
        DataError: the data cannot be read, or none of its rows can be scored.
        TrackingError: the store cannot be read, or the run has no model.
    """
    from rnnlane.execution.data_checks import check_same_data
    from rnnlane.tracking import store
    from rnnlane.tracking.uris import resolve_uri

    events = events or RunEvents()
    uri = resolve_uri(tracking_uri or (config.tracking.uri if config else None))
    summary = store.find_run(uri, run, with_model=True)
    # After the run has been found: it imports torch, which takes seconds.
    from rnnlane.training.group import in_process

    group = in_process(device, where="device")
    with tempfile.TemporaryDirectory() as scratch:
        if config is None:
            path = store.EXPERIMENT_PATH
            file = store.download_artifacts(uri, summary.run_id, path, Path(scratch))
            config = load_experiment(file)
        prepared = None
        if data is None:
            prepared = prepare(config, events=events, report=False)
            check_same_data(prepared, summary)
        import numpy as np

        from rnnlane.inference.evaluation import evaluate_file, evaluate_split
        from rnnlane.inference.predictor import Predictor
        from rnnlane.reports.classes import describe_classes

        bundle = store.download_model(uri, summary.run_id, Path(scratch))
        predictor = Predictor.load(bundle, device=group.device)
    if data is not None:
        scores = evaluate_file(summary.run_id, data, config, predictor, events)
    else:
        assert prepared is not None
        scores = evaluate_split(summary.run_id, split, prepared.split(split), predictor)
    confusions = {scores.split: np.array(scores.confusion)}
    described = describe_classes(confusions, scores.class_names, split=scores.split)
    return replace(scores, **described)


def predict(
    texts: Sequence[str],
    *,
    run: str = "latest",
    device: Device = "auto",
    tracking_uri: str | None = None,
) -> list[dict[str, Any]]:
    """Classifies texts with the model of a run.

    Args:
        texts: what to classify.
        run: an id, the unique prefix of an id, a name, or "latest".
        device: where to classify; auto takes a GPU if there is one.
        tracking_uri: the MLflow store; default: as for training.

    Returns:
        For each text ``text``, ``label``, ``probabilities`` by class name, and
        ``num_known_tokens``: how many of the tokens that are read, ``num_tokens``, the model
        knows. Where it is 0, the answer says nothing about the text. ``is_sure`` says whether the
        answer is more than a guess; see :func:`rnnlane.inference.predictor.is_sure`.

    Raises:
        ConfigError: there is no such run or device, or what is given is no sequence of texts.
        ResourceError: a GPU is wanted, but there is none, or memory runs out.
        TrackingError: the store cannot be read, or the run has no model.
    """
    from rnnlane.inference.loading import load_predictor

    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(
            "texts must be a sequence of str, but got "
            + ("one str" if isinstance(texts, str) else "something else in it"),
            where="texts",
            remedy="give a list of str",
        )
    _, predictor = load_predictor(run, tracking_uri=tracking_uri, device=device)
    return predictor.predict(texts).answers(texts)


def promote(
    run: str, *, name: str, alias: str, force: str | None = None, tracking_uri: str | None = None
) -> Promotion:
    """Registers a run's model, and gives it an alias if it is better; see `promote_in_store`."""
    from rnnlane.inference.promotion import promote_in_store
    from rnnlane.tracking.uris import resolve_uri

    return promote_in_store(resolve_uri(tracking_uri), run, name=name, alias=alias, force=force)


def compare(
    runs: Sequence[str],
    *,
    split: Literal["val", "test"] = "test",
    num_texts: int = 5,
    plot: Path | None = None,
    tracking_uri: str | None = None,
) -> Comparison:
    """Compares two or more finished runs on the same rows, each with the first.

    ``runs`` are ids, unique prefixes of ids, names, or "latest"; ``num_texts`` is the most texts of
    other answers; ``plot`` is a PNG file to draw to.

    Raises:
        ConfigError: a run is not finished, keeps no predictions, is named twice, or has other rows
            or classes than the first.
        TrackingError: the store cannot be read.
    """
    from rnnlane.inference.comparison import compare_in_store
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    comparison, predictions = compare_in_store(uri, runs, split=split, num_texts=num_texts)
    if plot is not None:
        from rnnlane.reports.comparison_figure import save_comparison

        save_comparison(comparison, predictions, plot)
    return comparison


def list_runs(
    *,
    tracking_uri: str | None = None,
    mlflow_experiment: str | None = None,
    limit: int = 20,
    with_trials: bool = False,
) -> tuple[list[RunSummary], int]:
    """The newest runs of the store, after closing those whose drivers died.

    Returns:
        The runs, and the number of records sent from their outboxes.
    """
    from rnnlane.execution.lifecycle import close_abandoned_runs
    from rnnlane.tracking import store
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    num_sent = close_abandoned_runs(uri)
    summaries = store.list_runs(
        uri, mlflow_experiment=mlflow_experiment, limit=limit, with_trials=with_trials
    )
    return summaries, num_sent


def clean(limits: Limits | None = None) -> Inventory:
    """What of the home and of Ray's temporary folder is no longer needed, and what else is there.

    Removes nothing: call :meth:`Leftover.remove` of what is to go.

    Args:
        limits: which runs may go though they could be resumed or have finished; default: none.
    """
    from rnnlane.execution.inventory import Limits, take_inventory

    return take_inventory(limits or Limits())
