"""The verbs for a script or a notebook: they show their progress, and take a result for a run.

:mod:`rnnlane.pipeline` does the work. Every failure that a person can mend is a RnnlaneError.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rnnlane import pipeline
from rnnlane.api.progress import shown
from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.load import load_experiment
from rnnlane.errors import ConfigError
from rnnlane.records.ensemble import EnsembleResult
from rnnlane.records.events import RunEvents
from rnnlane.records.pretraining import PretrainResult
from rnnlane.records.promotion import Promotion
from rnnlane.records.results import (
    BaselineResult,
    Comparison,
    Evaluation,
    Result,
    SearchResult,
    TrainResult,
)
from rnnlane.records.seeds import SeedsResult

if TYPE_CHECKING:
    from rnnlane.config.runtime import Device
    from rnnlane.data.prepare.prepared import PreparedData
    from rnnlane.records.draft import ExperimentDraft
    from rnnlane.tracking.store import RunSummary

Experiment: TypeAlias = ExperimentConfig | str | Path
"""An experiment, or the path of its file."""
Run: TypeAlias = str | TrainResult | SeedsResult | BaselineResult | EnsembleResult
"""A run's id, the unique prefix of one, a name or "latest"; or the result of what made it."""

_RESULTS = TrainResult | SeedsResult | BaselineResult | EnsembleResult


def prepare(experiment: Experiment, *, events: RunEvents | None = None) -> PreparedData:
    """Cleans, tokenizes, splits and encodes the texts, or reuses data prepared before.

    Args:
        experiment: an experiment, or the path of its file.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: the source cannot be read or does not match the experiment, or Ray fails.
    """
    config = as_experiment(experiment)
    with shown(events) as running:
        return pipeline.prepare(config, events=running)


def train(
    experiment: Experiment, *, resume: bool = False, events: RunEvents | None = None
) -> TrainResult | SeedsResult:
    """Prepares, trains, tests, and logs one run; with ``training.seeds`` one of each seed.

    Ctrl-C, or a notebook's stop button, ends the run as killed; ``resume=True`` continues it.

    Args:
        experiment: an experiment, or the path of its file.
        resume: continue the newest run of this experiment and data if it was interrupted; return
            its result if it has finished.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot continue.
    """
    config = as_experiment(experiment)
    with shown(events) as running:
        return pipeline.train(config, resume=resume, events=running)


def pretrain(
    experiment: Experiment, *, resume: bool = False, events: RunEvents | None = None
) -> PretrainResult:
    """Trains a language model on the texts of train and on unlabeled ones, and logs it.

    ``model.init_from`` of an experiment names the run, for a classifier that starts from it.

    Args:
        experiment: an experiment, or the path of its file.
        resume: continue the newest run of this experiment and data, as for :func:`train`.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: bad input, too few resources, or training that cannot continue.
    """
    config = as_experiment(experiment)
    with shown(events) as running:
        return pipeline.pretrain(config, resume=resume, events=running)


def baseline(experiment: Experiment, *, events: RunEvents | None = None) -> BaselineResult:
    """Fits a linear model of n-grams on the experiment's data, and logs the run.

    Args:
        experiment: an experiment, or the path of its file.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: bad input, or the store cannot be reached.
    """
    config = as_experiment(experiment)
    with shown(events) as running:
        return pipeline.baseline(config, events=running)


def tune(
    experiment: Experiment, *, resume: bool = False, events: RunEvents | None = None
) -> SearchResult:
    """Runs the search in the experiment's ``search`` section, and logs it and its trials.

    ``rnnlane.train(result.best_config)`` trains the winner.

    Args:
        experiment: an experiment with a search, or the path of its file.
        resume: continue the newest search of this experiment and data.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: bad input, too few resources, or a search that cannot continue.
    """
    config = as_experiment(experiment)
    with shown(events) as running:
        return pipeline.tune(config, resume=resume, events=running)


def ensemble(
    runs: Sequence[Run],
    *,
    weights: Literal["val", "mean"] = "val",
    tracking_uri: str | None = None,
    events: RunEvents | None = None,
) -> EnsembleResult:
    """Makes one model of several finished runs, and logs it as a run.

    It answers with the weighted mean of the logarithms of their probabilities.

    Args:
        runs: of each its id, the unique prefix of an id, a name, "latest", or a result.
        weights: "val" fits them on val, "mean" makes them the same.
        tracking_uri: the MLflow store; default: the first result's, else as for training.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: a run is not finished, keeps no predictions, is named twice, or has other
            rows or classes than the first.
    """
    run_ids, uri = _runs_and_store(runs, tracking_uri)
    with shown(events) as running:
        return pipeline.ensemble(run_ids, weights=weights, tracking_uri=uri, events=running)


def evaluate(
    run: Run = "latest",
    *,
    split: Literal["train", "val", "test"] = "test",
    data: str | Path | None = None,
    experiment: Experiment | None = None,
    device: Device = "auto",
    tracking_uri: str | None = None,
    events: RunEvents | None = None,
) -> Evaluation:
    """Scores the model of a run on a split of its prepared data, or on other labeled texts.

    Args:
        run: a run's id, the unique prefix of an id, a name, "latest", or a result.
        split: which rows to score.
        data: a labeled file to score instead of a split: csv, tsv, jsonl or Parquet.
        experiment: names the data and its columns; default: the run's own.
        device: where to classify: "cpu", "gpu", or "auto", a GPU if there is one.
        tracking_uri: the MLflow store; default: the result's or the experiment's, else as for
            training.
        events: receives the progress; default: it is shown. ``rnnlane.SILENT`` shows nothing.

    Raises:
        RnnlaneError: there is no such run, its data is different, or the rows cannot be scored.
    """
    config = None if experiment is None else as_experiment(experiment)
    run_id, uri = run_and_store(run, tracking_uri)
    with shown(events) as running:
        return pipeline.evaluate(
            config,
            run=run_id,
            split=split,
            data=None if data is None else str(data),
            device=device,
            tracking_uri=uri,
            events=running,
        )


def compare(
    runs: Sequence[Run] | Run,
    *,
    split: Literal["val", "test"] = "test",
    num_texts: int = 5,
    plot: str | Path | None = None,
    tracking_uri: str | None = None,
) -> Comparison:
    """Compares two or more finished runs on the same rows, each with the first.

    Rows are matched by text and class, so runs may differ in every setting of text and model. The
    test is McNemar's with mid-p; the interval of the difference is a bootstrap of the rows.

    Args:
        runs: of each its id, the unique prefix of an id, a name, "latest", or a result.
        split: the rows.
        num_texts: texts on which they disagree most, at most.
        plot: also draw the comparison to this PNG file.
        tracking_uri: the MLflow store; default: the first result's, else as for training.

    Raises:
        RnnlaneError: a run is not finished, keeps no predictions, is named twice, or has other
            rows or classes than the first.
    """
    run_ids, uri = _runs_and_store(runs, tracking_uri)
    with shown(None):
        return pipeline.compare(
            run_ids,
            split=split,
            num_texts=num_texts,
            plot=None if plot is None else Path(plot),
            tracking_uri=uri,
        )


def promote(
    run: Run,
    *,
    name: str,
    alias: str = "champion",
    force: str | None = None,
    tracking_uri: str | None = None,
) -> Promotion:
    """Registers the model of a run in MLflow, and gives it an alias if it is better.

    Where another version has the alias, the model must classify the same test rows better than that
    one, by the test of :func:`compare`.

    Args:
        run: its id, the unique prefix of an id, a name, "latest", or a result.
        name: of the registered model; created if it is missing.
        alias: that the version is to have.
        force: the reason to move the alias whatever the test says; kept with the version.
        tracking_uri: the MLflow store; default: the result's, else as for training.

    Raises:
        RnnlaneError: the model is not shown to be better, or cannot be compared, and ``force`` is
            not given; nothing was registered. Or a name is not valid.
    """
    run_id, uri = run_and_store(run, tracking_uri)
    with shown(None):
        return pipeline.promote(run_id, name=name, alias=alias, force=force, tracking_uri=uri)


def predict(
    texts: Sequence[str],
    *,
    run: Run = "latest",
    device: Device = "auto",
    tracking_uri: str | None = None,
) -> list[dict[str, Any]]:
    """Classifies texts with the model of a run; :func:`rnnlane.load_model` loads it once for many.

    Args:
        texts: what to classify.
        run: a run's id, the unique prefix of an id, a name, "latest", or a result.
        device: where to classify: "cpu", "gpu", or "auto", a GPU if there is one.
        tracking_uri: the MLflow store; default: the result's, else as for training.

    Returns:
        For each text ``text``, ``label``, ``probabilities`` by class name, and
        ``num_known_tokens``: how many of the tokens that are read the model knows.

    Raises:
        RnnlaneError: there is no such run, or what is given is not a sequence of texts.
    """
    run_id, uri = run_and_store(run, tracking_uri)
    with shown(None):
        return pipeline.predict(texts, run=run_id, device=device, tracking_uri=uri)


def init_experiment(
    path: str | Path, *, output: str | Path | None = None, force: bool = False
) -> ExperimentDraft:
    """Finds out what files of labeled texts are like, and writes an experiment for them.

    Args:
        path: a csv, tsv, jsonl or Parquet file, or a folder, a glob or a URI of such files.
        output: the experiment to write; default: named as the file, in the working directory.
        force: replace a file that is there already.

    Raises:
        RnnlaneError: the files cannot be read or hold no labeled texts, or ``output`` exists.
    """
    with shown(None):
        written = None if output is None else str(output)
        return pipeline.init_experiment(str(path), output=written, force=force)


def list_runs(
    *,
    tracking_uri: str | None = None,
    mlflow_experiment: str | None = None,
    limit: int = 20,
    with_trials: bool = False,
) -> tuple[list[RunSummary], int]:
    """The newest runs of the store; see :func:`rnnlane.pipeline.list_runs`.

    Raises:
        RnnlaneError: the store cannot be read.
    """
    with shown(None):
        return pipeline.list_runs(
            tracking_uri=tracking_uri,
            mlflow_experiment=mlflow_experiment,
            limit=limit,
            with_trials=with_trials,
        )


def as_experiment(experiment: Experiment) -> ExperimentConfig:
    """An experiment, read if it is a path.

    Raises:
        ConfigError: the file is wrong, or it is neither an experiment nor a path.
    """
    if isinstance(experiment, ExperimentConfig):
        return experiment
    if isinstance(experiment, str | os.PathLike):
        return load_experiment(experiment)
    raise ConfigError(
        "an experiment is what load_experiment or experiment_from_mapping returns, or the path of "
        f"a file, but got {type(experiment).__name__}",
        where="experiment",
        remedy="for example: rnnlane.train('experiments/demo.yaml')",
    )


def run_and_store(run: Run, tracking_uri: str | None) -> tuple[str, str | None]:
    """The id of a run, and its store if that is given or known from a result.

    Raises:
        ConfigError: it is neither a result of a run nor a str.
    """
    if isinstance(run, _RESULTS):
        # A result keeps no password; its store is then the one that training took.
        known = None if "***" in run.tracking_uri else run.tracking_uri
        return run.run_id, tracking_uri or known
    if isinstance(run, str):
        return run, tracking_uri
    raise ConfigError(
        "a run is the result of train, baseline or ensemble, or its id or name, but got "
        f"{type(run).__name__}",
        where="run",
        remedy="a search has no model of its own: train its winner, result.best_config",
    )


def _runs_and_store(
    runs: Sequence[Run] | Run, tracking_uri: str | None
) -> tuple[list[str], str | None]:
    """The ids of runs, and the first store that is known."""
    several = [runs] if isinstance(runs, str | Result) else list(runs)
    found = [run_and_store(run, tracking_uri) for run in several]
    return [run_id for run_id, _ in found], next((uri for _, uri in found if uri), None)
