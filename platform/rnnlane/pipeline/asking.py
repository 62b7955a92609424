"""The verbs that ask something of runs: evaluate, predict, compare, promote, list, clean."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.load import load_experiment
from rnnlane.errors import ConfigError
from rnnlane.pipeline.executing import prepare
from rnnlane.records.events import RunEvents
from rnnlane.records.refit import is_refitted
from rnnlane.records.results import (
    Comparison,
    Evaluation,
)

if TYPE_CHECKING:
    from rnnlane.config.runtime import Device
    from rnnlane.execution.inventory import Inventory, Limits
    from rnnlane.records.promotion import Promotion
    from rnnlane.tracking.store import RunSummary


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
            named = (summary.run_id, store.EXPERIMENT_PATH)
            config = load_experiment(store.download_artifacts(uri, *named, Path(scratch)))
        prepared = None
        if data is None:
            prepared = prepare(config, events=events, report=False)
            check_same_data(prepared, summary)
        import numpy as np

        from rnnlane.data.batches.file_split import FileSplit
        from rnnlane.inference.ensemble import load_bundled
        from rnnlane.inference.evaluation import evaluate_file, evaluate_split
        from rnnlane.reports.classes import describe_classes

        bundle = store.download_model(uri, summary.run_id, Path(scratch))
        predictor = load_bundled(bundle, device=group.device)
    if data is not None:
        scores = evaluate_file(summary.run_id, data, config, predictor, events)
    else:
        assert prepared is not None
        if split == "val" and is_refitted(summary.params):
            events.note(
                "the model is refitted on train and val, so it has trained on these rows: other "
                "texts score lower"
            )
        scores = evaluate_split(summary.run_id, split, FileSplit(prepared, split), predictor)
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
