"""The verbs that make data, runs and models: prepare, train, baseline, tune, ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import baseline_fingerprint, fingerprint, pretraining_fingerprint
from rnnlane.config.paths import check_writable, storage_root
from rnnlane.config.space import data_variants, num_trials
from rnnlane.errors import ConfigError
from rnnlane.records.events import RunEvents
from rnnlane.records.pretraining import PretrainResult
from rnnlane.records.results import (
    BaselineResult,
    SearchResult,
    TrainResult,
)
from rnnlane.records.run_marker import marker_line
from rnnlane.records.seeds import SeedsResult

if TYPE_CHECKING:
    from rnnlane.config.runtime import RuntimeConfig
    from rnnlane.data.prepare.prepared import PreparedData
    from rnnlane.data.prepare.purpose import Purpose
    from rnnlane.records.ensemble import EnsembleResult


def prepare(
    config: ExperimentConfig,
    *,
    events: RunEvents | None = None,
    report: bool = True,
    for_pretraining: bool = False,
) -> PreparedData:
    """Cleans, tokenizes, splits and encodes the texts, or reuses existing prepared data.

    Args:
        config: the experiment.
        for_pretraining: prepare what `rnnlane pretrain` reads: no test, but unlabeled texts.
        events: receives the progress.
        report: whether they also receive what became of the rows, in a few lines.

    Raises:
        DataError: the source cannot be read or does not match the experiment.
        JobError: Ray cannot be started or reached, or fails more often than may be.
        ResourceError: a node of the cluster does not reach the storage.
    """
    events = events or RunEvents()
    prepared = _prepared(config, _purpose(config, for_pretraining=for_pretraining), events)
    if report:
        _report([config], [prepared], events)
    return prepared


def _purpose(config: ExperimentConfig, *, for_pretraining: bool) -> Purpose:
    from rnnlane.data.prepare.purpose import PRETRAINING, Purpose
    from rnnlane.execution.pretrained import fetch_start, with_known_start

    if for_pretraining:
        return PRETRAINING
    start = fetch_start(with_known_start(config))
    return Purpose(
        reads_unlabeled=config.training.reads_unlabeled,
        vocabulary=None if start is None else start.vocabulary,
    )


def _prepared(config: ExperimentConfig, purpose: Purpose, events: RunEvents) -> PreparedData:
    from rnnlane.data.prepare.pipeline import check_source, find_prepared
    from rnnlane.ray_cluster.address import check_address

    check_address()
    storage = storage_root(config)
    events.stage("looking for prepared data")
    prepared = find_prepared(config, storage=storage, purpose=purpose)
    if prepared is not None and _hold(prepared):
        return prepared
    check_writable(config)
    check_source(config, purpose)
    from rnnlane.execution.preparation import prepare_on_ray
    from rnnlane.ray_cluster.storage_check import check_storage

    _start_ray(config.runtime, events)
    check_storage(config)
    events.stage("preparing")
    prepared = prepare_on_ray(config, storage=storage, purpose=purpose, events=events)
    _hold(prepared)
    return prepared


def _start_ray(config: RuntimeConfig, events: RunEvents) -> None:
    """Connects to Ray, and says where the dashboard of one is that is started."""
    from rnnlane.ray_cluster.address import starts_own_ray
    from rnnlane.ray_cluster.connect import connect

    events.stage("starting Ray" if starts_own_ray() else "connecting to Ray")
    dashboard = connect(config, events)
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
) -> TrainResult | SeedsResult:
    """Prepares, trains, tests, and logs one run; with ``training.seeds`` one of each seed.

    Args:
        config: the experiment.
        resume: continue the newest run of this experiment and data if it was interrupted; return
            its result if it has finished. Of several seeds those that have finished stay, also
            where more are asked for now.
        events: receives the progress.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot continue.
    """
    from rnnlane.execution.attempt import record_of_attempt, run_to_continue, runs_of_seeds
    from rnnlane.execution.data_checks import check_classes, check_word_vectors
    from rnnlane.execution.identity import run_fingerprint
    from rnnlane.execution.pretrained import with_known_start
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster.capacity import check_own

    events = events or RunEvents()
    check_writable(config)
    check_own(config.runtime)
    check_word_vectors(config, events)
    config = with_known_start(config)
    prepared = prepare(config, events=events, report=False)
    check_classes(config, prepared)
    identity = {
        "config_fingerprint": run_fingerprint(config),
        "data_fingerprint": prepared.fingerprint,
    }
    has_all = partial(_has_all_seeds, config)
    record = (
        run_to_continue(identity, kind="run", events=events, has_all=has_all) if resume else None
    )
    record = record or RunRecord.create(config.name, **identity)
    with record.locked(note=events.note) as current:
        earlier = runs_of_seeds(config, current)
        if current.state == "finished" and current.result is not None:
            finished = _finished_result(current.result)
            if isinstance(finished, TrainResult) or finished.num_seeds == config.training.seeds:
                _note_finished(finished, "the run has already finished", events)
                return finished
        if config.runtime.max_workers > 0:
            _start_ray(config.runtime, events)
        _open_store(config.tracking.uri)
        started = record_of_attempt(current, config, [prepared])
        # Not before all checks: what is refused is told in one line.
        _report([config], [prepared], events)
        # After the data has been checked: it imports torch, which takes seconds.
        if config.training.seeds > 1:
            from rnnlane.execution.seeds import execute_seeds

            return execute_seeds(config, prepared, earlier=earlier, record=started, events=events)
        from rnnlane.execution.run import execute_run

        return execute_run(config, prepared, record=started, events=events)


def pretrain(
    config: ExperimentConfig, *, resume: bool = False, events: RunEvents | None = None
) -> PretrainResult:
    """Prepares train and unlabeled texts, trains a language model on them, and logs it.

    Args:
        config: the experiment.
        resume: as for :func:`train`.
        events: receives the progress.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot continue.
    """
    from rnnlane.execution.attempt import record_of_attempt, run_to_continue
    from rnnlane.execution.data_checks import check_language_model
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster.capacity import check_own

    events = events or RunEvents()
    check_language_model(config)
    check_writable(config)
    check_own(config.runtime)
    prepared = prepare(config, events=events, report=False, for_pretraining=True)
    name = f"{config.name}-pretraining"
    tracking = config.tracking.model_copy(update={"run_name": config.tracking.run_name or name})
    config = config.model_copy(update={"tracking": tracking})
    identity = {
        "config_fingerprint": pretraining_fingerprint(config),
        "data_fingerprint": prepared.fingerprint,
    }
    record = run_to_continue(identity, kind="pretraining", events=events) if resume else None
    record = record or RunRecord.create(name, **identity)
    with record.locked(note=events.note) as current:
        if current.state == "finished" and current.result is not None:
            finished = PretrainResult(**current.result)
            _note_finished(finished, "the pretraining has already finished", events)
            return finished
        if config.runtime.max_workers > 0:
            _start_ray(config.runtime, events)
        _open_store(config.tracking.uri)
        started = record_of_attempt(current, config, [prepared])
        _report([config], [prepared], events)
        from rnnlane.execution.pretraining import execute_pretraining

        return execute_pretraining(config, prepared, record=started, events=events)


def baseline(config: ExperimentConfig, *, events: RunEvents | None = None) -> BaselineResult:
    """Fits a linear model of n-grams on the experiment's prepared data, and logs the run.

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
    from rnnlane.execution.pretrained import with_known_start
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.ray_cluster.capacity import check_own_trials

    if config.search is None:
        raise ConfigError(
            "a search needs a `search` section, but the experiment has none",
            where="search",
            remedy="say what may vary; experiments/search-quick.yaml is an example",
        )
    events = events or RunEvents()
    _note_one_seed(config, events)
    check_writable(config)
    check_own_trials(config.search, config.runtime.device)
    check_word_vectors(config, events)
    config = with_known_start(config)
    variants = data_variants(config)
    prepared = [prepare(variant, events=events, report=False) for variant in variants]
    for variant, data in zip(variants, prepared, strict=True):
        check_classes(variant, data)
    identity = {
        "config_fingerprint": computed_fingerprint(config),
        "data_fingerprint": fingerprint(sorted(data.fingerprint for data in prepared)),
    }
    record, has_all = None, partial(_has_all_trials, config)
    if resume:
        record = run_to_continue(identity, kind="search", events=events, has_all=has_all)
    record = record or RunRecord.create(config.name, **identity)
    with record.locked(note=events.note) as current:
        stored = current.result or {}
        if current.state == "finished" and _has_all_trials(config, stored):
            finished = SearchResult(**stored)
            _note_finished(finished, "the search has already finished", events)
            return finished
        # A local Ray gets the CPUs of this machine and no more: trials that do not fit are refused.
        _start_ray(config.runtime.model_copy(update={"num_workers": 0}), events)
        _open_store(config.tracking.uri)
        started = record_of_attempt(current, config, prepared)
        _report(variants, prepared, events)
        # After the data has been checked: it imports torch, which takes seconds.
        from rnnlane.search.search import data_key, execute_search

        by_key = {data_key(v): data for v, data in zip(variants, prepared, strict=True)}
        return execute_search(config, by_key, record=started, events=events)


def ensemble(
    runs: Sequence[str],
    *,
    weights: Literal["val", "mean"] = "val",
    tracking_uri: str | None = None,
    events: RunEvents | None = None,
) -> EnsembleResult:
    """Makes one model of several finished runs, and logs it as a run.

    Args:
        runs: two or more ids, unique prefixes of ids, names, or "latest".
        weights: ``val`` fits them on val, ``mean`` makes them the same.
        tracking_uri: the MLflow store; default: as for training.
        events: receives the progress.

    Raises:
        ConfigError: a run is not finished, keeps no predictions, is named twice, or has other rows
            or classes than the first.
        TrackingError: the store cannot be read.
    """
    from rnnlane.execution.environment import code_version
    from rnnlane.execution.run_record import RunRecord
    from rnnlane.tracking.references import check_several
    from rnnlane.tracking.uris import resolve_uri

    events = events or RunEvents()
    check_several(runs, purpose="an ensemble")
    uri = resolve_uri(tracking_uri)
    _open_store(uri)
    events.stage("reading the runs")
    from rnnlane.execution.ensemble import execute_ensemble, read_members

    members = read_members(uri, runs)
    name = f"{members.config.name[:71]}-ensemble"  # a name has at most 80 characters
    own_store: dict[str, object] = {"uri": tracking_uri, "run_name": name, "tags": {}}
    tracking = members.config.tracking.model_copy(update=own_store)
    own = {"name": name, "description": "", "tracking": tracking}
    config = members.config.model_copy(update=own)
    record = RunRecord.create(
        name,
        config_fingerprint=fingerprint([weights, *(run.run_id for run in members.runs)]),
        data_fingerprint=members.prepared.fingerprint,
    )
    with record.locked(note=events.note) as current:
        started = current.update(code_version=code_version())
        return execute_ensemble(members, config, weights, record=started, events=events)


def _has_all_seeds(config: ExperimentConfig, result: Mapping[str, Any]) -> bool:
    """Whether a finished run has the seeds that are asked for now."""
    num_seeds: int = result.get("num_seeds", 1)
    return num_seeds >= config.training.seeds


def _has_all_trials(config: ExperimentConfig, result: Mapping[str, Any]) -> bool:
    """Whether a finished search has the trials, seeds and ablation that are asked for now."""
    assert config.search is not None
    wanted, found = config.search.ablation, result.get("ablation") or {}
    has_ablation = wanted is None or (
        found.get("is_complete") and found.get("asked") == wanted.model_dump(mode="json")
    )
    has_trials = result.get("num_trials", 0) >= num_trials(config)
    return bool(has_ablation) and has_trials and bool(result.get("has_all_seeds", True))


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


def _note_one_seed(config: ExperimentConfig, events: RunEvents) -> None:
    if config.training.seeds > 1:
        events.note(
            f"training.seeds {config.training.seeds} is for `rnnlane train`: a trial trains with "
            "one seed; search.repeats trains the best trials with several"
        )


def _finished_result(values: Mapping[str, Any]) -> TrainResult | SeedsResult:
    """What `train` returned, from the record of its run."""
    return SeedsResult(**values) if "num_seeds" in values else TrainResult(**values)


def _note_finished(
    result: TrainResult | SeedsResult | PretrainResult | SearchResult,
    note: str,
    events: RunEvents,
) -> None:
    events.note(marker_line(result.run_id, result.tracking_uri, page=result.run_url))
    events.note(note)
