"""What the verbs return: plain values that ``--json`` prints and a run's record keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a verb returns."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


@dataclass(frozen=True)
class TrainResult(Result):
    """A finished run.

    Attributes:
        run_id: of the MLflow run.
        tracking_uri: the MLflow store, without passwords.
        config_fingerprint: of the experiment.
        data_fingerprint: of the prepared data.
        prepared_path: folder or URI of the prepared data.
        model_uri: argument for ``mlflow.pyfunc.load_model``.
        metrics: of the last epoch by key, and of the test as ``test/...``; under ``last`` and
            ``best`` those of the two epochs, each with the test's.
        epochs: number of epochs trained.
        best_epoch: the epoch, from 1, whose weights the model has.
        clip: max_norm, reason, clipped_fraction.
        sample: the prediction for the sample text; None if the experiment has none.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        classes: class, precision, recall, f1 and rows of each class on test.
        confused: true, predicted, rows and share of the most confused pairs of classes on test.
        notes: what to know before trusting the metrics, in sentences.
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
    sample: dict[str, Any] | None
    run_folder: str
    is_tracked: bool = True
    classes: list[dict[str, Any]] = field(default_factory=list)
    confused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BaselineResult(Result):
    """A finished baseline.

    Attributes:
        run_id: of the MLflow run.
        tracking_uri: the MLflow store, without passwords.
        data_fingerprint: of the prepared data.
        model_uri: argument for ``mlflow.pyfunc.load_model``.
        metrics: of every split, as ``test/accuracy``.
        num_ngrams: number of words and pairs of words that are features.
        fit_s: duration of the fit.
        sample: the prediction for the sample text; None if the experiment has none.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        classes, confused, notes: see :class:`TrainResult`.
    """

    run_id: str
    tracking_uri: str
    data_fingerprint: str
    model_uri: str
    metrics: dict[str, float]
    num_ngrams: int
    fit_s: float
    sample: dict[str, Any] | None
    run_folder: str
    is_tracked: bool = True
    classes: list[dict[str, Any]] = field(default_factory=list)
    confused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SearchResult(Result):
    """A finished search.

    Attributes:
        run_id: of the search's MLflow run.
        tracking_uri: the MLflow store, without passwords.
        best: params, metrics, run_id and number of the winning trial; None if all failed.
        num_trials: trials started, without the further seeds of finalists.
        num_pruned: trials stopped by the scheduler.
        num_cut: trials stopped by the time budget.
        num_failed: trials that failed.
        epochs_trained: over all trials and seeds.
        elapsed_s: seconds of searching, over all attempts.
        clip: of the winner: mean_norm, max_norm, clipped_fraction.
        best_config: path of the winner's experiment file; None if all failed.
        report: path of the report.
        run_folder: the search's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
    """

    run_id: str
    tracking_uri: str
    best: dict[str, Any] | None
    num_trials: int
    num_pruned: int
    num_cut: int
    num_failed: int
    epochs_trained: int
    elapsed_s: float
    clip: dict[str, Any] | None
    best_config: str | None
    report: str
    run_folder: str
    is_tracked: bool = True


@dataclass(frozen=True)
class Evaluation(Result):
    """The scores of a run's model on labeled rows.

    Attributes:
        run_id: of the MLflow run.
        split: train, val or test of the run's data; else the file of the rows.
        num_rows: number of rows scored.
        metrics: loss, accuracy, macro_f1, and roc_auc for two classes.
        class_names: in the order of the confusion matrix.
        confusion: counts [C, C]; rows are true classes, columns predicted ones.
        skipped: rows of the file that were not scored, by reason.
        unknown_labels: those rows whose label is no class of the model, by label.
        classes, confused, notes: see :class:`TrainResult`, on these rows.
    """

    run_id: str
    split: str
    num_rows: int
    metrics: dict[str, float]
    class_names: tuple[str, ...]
    confusion: list[list[int]]
    skipped: dict[str, int] = field(default_factory=dict)
    unknown_labels: dict[str, int] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    confused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison(Result):
    """Two or more runs on the same rows; lists have one entry for each run, in the order asked.

    Attributes:
        split: val or test.
        tracking_uri: the MLflow store, without passwords.
        runs: run_id, name, model (``rnn`` or ``linear``), epoch (the best one, whose weights the
            model has; None for a baseline) and num_rows (whose probabilities the run keeps).
        config: the settings that differ, by dotted key; None where a run has no such setting.
        metrics: of the best epoch by key; None where a run has no such metric.
        tests: of each run but the first against the first: run_id, verdict (``better``, ``worse``
            or ``no difference shown``), and what :class:`rnnlane.inference.paired.PairedTest` has.
        texts: rows that the runs answer most differently: row_key, text (None if it is not on this
            disk), label, and under answers each run's label and its probability of the true class.
        notes: what to know before trusting the comparison, in sentences.
    """

    split: str
    tracking_uri: str
    runs: list[dict[str, Any]]
    config: dict[str, list[str | None]]
    metrics: dict[str, list[float | None]]
    tests: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
