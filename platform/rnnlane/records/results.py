"""What the verbs return: plain values that ``--json`` prints and a run's record keeps."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlane.errors import DataError
from rnnlane.records import html
from rnnlane.records.pictures import drawn
from rnnlane.records.plain_text import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NUM_IN_REPR = 4
_MAX_CLASSES_SHOWN, _MAX_PAIRS_SHOWN = 12, 5
_CLASS_METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True, repr=False)
class Result:
    """What a verb returns. A notebook shows it as a table."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)

    def _facts(self) -> list[tuple[str, str]]:
        """What a person wants to know, by name; the first few are enough for a line."""
        raise NotImplementedError

    def _details(self) -> list[str]:
        """Further pieces of HTML."""
        return []

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts()[:_NUM_IN_REPR])
        return f"{type(self).__name__}({one_line(facts)})"

    def _repr_html_(self) -> str:
        pages = html.link(getattr(self, "run_url", None), "its page in MLflow")
        return html.card(type(self).__name__, html.table(self._facts()), pages, *self._details())


@dataclass(frozen=True, repr=False)
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
        best_epoch: the epoch, from 1, whose weights the model has, or how many a refit had.
        clip: max_norm, reason, clipped_fraction.
        sample: the prediction for the sample text; None if the experiment has none.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        run_url: MLflow's page of the run; None if the store is no server.
        runs_url: that of all runs of its experiment.
        classes: class, precision, recall, f1 and rows of each class on test.
        confused: true, predicted, rows and share of the most confused pairs of classes on test.
        notes: what to know before trusting the metrics, in sentences.
        metric: what chose the best epoch.
        refit: of ``training.refit``, the train metrics of its last epoch, on train and val. The
            model and the test metrics are then the refit's; those of val are the best epoch's.
        report: path of the report; empty if it could not be written.
        temperature: divides the model's logits; see ``inference.temperature``.
        verdict: why nobody should use the model; None if there is no such reason.
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
    run_url: str | None = None
    runs_url: str | None = None
    classes: list[dict[str, Any]] = field(default_factory=list)
    confused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: str = ""
    temperature: float = 1.0
    verdict: str | None = None
    metric: str = "val/accuracy"
    refit: dict[str, float] | None = None

    @property
    def history(self) -> pd.DataFrame:
        """The metrics of each epoch: a row an epoch, a column a metric; the index is the epoch.

        Raises:
            DataError: the file of the results is no longer there.
        """
        import pandas as pd

        table = pd.DataFrame(epochs_of(self.run_folder))
        return table.astype({"epoch": int}).set_index("epoch")

    def plot(self) -> Figure:
        """Accuracy, macro F1 and loss over the epochs, as a matplotlib figure.

        Raises:
            DataError: the file of the results is no longer there.
        """
        return drawn("training_curves", epochs_of(self.run_folder), metric=self.metric)

    def _facts(self) -> list[tuple[str, str]]:
        best = self.metrics.get("best", self.metrics)
        return [
            ("run", self.run_id[:8]),
            *verdict_facts(self.verdict),
            ("best epoch", f"{self.best_epoch} of {self.epochs} (by {self.metric})"),
            *([("refit", f"{self.best_epoch} epochs on train and val")] if self.refit else []),
            *score_facts(best),
            ("clipping", _clipping(self.clip)),
            ("store", self.tracking_uri),
        ]

    def _details(self) -> list[str]:
        return [classes_html(self.classes, self.confused), html.paragraphs(self.notes)]


@dataclass(frozen=True, repr=False)
class BaselineResult(Result):
    """A finished baseline.

    Attributes:
        run_id: of the MLflow run.
        tracking_uri: the MLflow store, without passwords.
        data_fingerprint: of the prepared data.
        model_uri: argument for ``mlflow.pyfunc.load_model``.
        metrics: of every split, as ``test/accuracy``.
        num_ngrams: number of n-grams that have a weight; n-grams that share one count as one.
        fit_s: duration of the fit.
        sample: the prediction for the sample text; None if the experiment has none.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        run_url: MLflow's page of the run; None if the store is no server.
        runs_url: that of all runs of its experiment.
        classes, confused, notes, report, temperature, verdict: see :class:`TrainResult`.
        weighting: of the n-grams, ``nb`` or ``tfidf``.
        num_words: words of the longest n-gram.
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
    run_url: str | None = None
    runs_url: str | None = None
    classes: list[dict[str, Any]] = field(default_factory=list)
    confused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: str = ""
    temperature: float = 1.0
    verdict: str | None = None
    weighting: str = "tfidf"
    num_words: int = 2

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("run", self.run_id[:8]),
            *verdict_facts(self.verdict),
            *score_facts(self.metrics),
            ("features", f"{self.num_ngrams:,} n-grams, fitted in {self.fit_s:.1f} s"),
            ("store", self.tracking_uri),
        ]

    def _details(self) -> list[str]:
        return [classes_html(self.classes, self.confused), html.paragraphs(self.notes)]


@dataclass(frozen=True, repr=False)
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
        has_all_seeds: whether the time budget left out no training of a finalist with another seed.
        epochs_trained: over all trials, seeds and the ablation.
        elapsed_s: seconds of searching, over all attempts.
        clip: of the winner: mean_norm, max_norm, clipped_fraction.
        best_config: path of the winner's experiment file, or of the setting that the ablation
            recommends; None if all failed.
        report: path of the report; empty if it could not be written.
        run_folder: the search's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        run_url: MLflow's page of the run; None if the store is no server.
        runs_url: that of all runs of its experiment.
        ablation: of the winner: ``seeds``, ``winner``, ``settings`` (each with its ``values`` by
            seed, the mean ``difference`` from the winner, ``low`` and ``high`` of its 95%
            interval, and the ``verdict`` by that), ``skipped`` and ``recommended``; None without
            one.
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
    run_url: str | None = None
    runs_url: str | None = None
    ablation: dict[str, Any] | None = None
    has_all_seeds: bool = True

    @property
    def trials(self) -> pd.DataFrame:
        """The trials, a row each, as ``trials.csv`` has them; the index is their number.

        Raises:
            DataError: the file is no longer there.
        """
        import pandas as pd

        content = _read(Path(self.report).with_name("trials.csv"))
        return pd.read_csv(io.StringIO(content), index_col="number")

    def plot(self) -> Figure:
        """The score of each trial, with the winner marked, as a matplotlib figure.

        Raises:
            DataError: the file of the trials is no longer there.
        """
        trials = self.trials
        winner = None if self.best is None else self.best["number"]
        return drawn("trial_scores", trials.index.tolist(), trials["score"].tolist(), winner=winner)

    def _facts(self) -> list[tuple[str, str]]:
        ended = [("pruned", self.num_pruned), ("cut", self.num_cut), ("failed", self.num_failed)]
        counts = [f"{self.num_trials}", *(f"{number} {what}" for what, number in ended if number)]
        facts = [
            ("run", self.run_id[:8]),
            ("trials", f"{', '.join(counts)}; {self.epochs_trained} epochs"),
            ("took", f"{self.elapsed_s:,.0f} s"),
        ]
        if self.best is None:
            return [*facts, ("winner", "none, every trial failed")]
        params = ", ".join(f"{key}={_short(v)}" for key, v in self.best["params"].items())
        return [
            *facts,
            ("winner", f"trial {self.best['number']} with {self.best['value']:.4f}"),
            ("with", params),
            *([("recommended", self.ablation["recommended"])] if self.ablation else []),
            ("its experiment", str(self.best_config)),
        ]


@dataclass(frozen=True, repr=False)
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

    def plot(self) -> Figure:
        """The confusion matrix, as a matplotlib figure."""
        return drawn("confusion", self.confusion, self.class_names)

    def _facts(self) -> list[tuple[str, str]]:
        scores = [(name.replace("_", " "), f"{value:.4f}") for name, value in self.metrics.items()]
        skipped = sum(self.skipped.values())
        return [
            ("run", self.run_id[:8]),
            ("split", self.split),
            ("rows", f"{self.num_rows:,}" + (f", {skipped:,} not scored" if skipped else "")),
            *scores,
        ]

    def _details(self) -> list[str]:
        return [classes_html(self.classes, self.confused), html.paragraphs(self.notes)]


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Two or more runs on the same rows; lists have one entry for each run, in the order asked.

    Attributes:
        split: val or test.
        tracking_uri: the MLflow store, without passwords.
        runs: run_id, name, model (``rnn``, ``linear`` or ``ensemble``), epoch (the best one, whose
            weights the model has; None for the others) and num_rows (whose probabilities the run
            keeps).
        config: the settings that differ, by dotted key; None where a run has no such setting.
        metrics: of the best epoch by key; None where a run has no such metric.
        tests: of each run but the first against the first: run_id, verdict (``better``, ``worse``
            or ``no difference shown``), and what :class:`rnnlane.inference.paired.PairedTest` has.
        texts: rows that the runs answer most differently: row_key (as text), text (None if it is
            not on this disk), label, and under answers each run's label and ``of_truth``, its
            probability of the true class.
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

    def _facts(self) -> list[tuple[str, str]]:
        names = {run["run_id"]: run["name"] for run in self.runs}
        first = self.runs[0]["name"]
        tests = [
            (
                names[test["run_id"]],
                f"{test['verdict']}: {100 * test['difference']:+.2f} percentage points "
                f"({100 * test['low']:+.2f} to {100 * test['high']:+.2f}), "
                f"p {p_value_text(test['p_value'])}",
            )
            for test in self.tests
        ]
        return [("split", self.split), ("compared with", first), *tests]

    def _details(self) -> list[str]:
        header = ["", *(run["name"] for run in self.runs)]
        metrics = [
            [key, *("-" if value is None else _short(value) for value in row)]
            for key, row in self.metrics.items()
        ]
        config = [[key, *(value or "-" for value in row)] for key, row in self.config.items()]
        return [
            html.table(metrics, header=header),
            html.table(config, header=header) if config else "",
            html.paragraphs(self.notes),
        ]


def epochs_of(run_folder: str) -> list[dict[str, float]]:
    """The metrics of each epoch of a run, from its files: a long run has many.

    Raises:
        DataError: the file is no longer there.
    """
    content = _read(Path(run_folder) / "results" / "results.json")
    epochs: list[dict[str, float]] = json.loads(content)["history"]
    return epochs


def p_value_text(value: float) -> str:
    """A p-value as papers print it, after a p."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _read(file: Path) -> str:
    """A file of the results, which stay on disk until `rnnlane clean` takes them."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"cannot read the results: {error.strerror}",
            where=str(file),
            remedy="the run in the tracking store has the file among its artifacts",
        ) from None


def verdict_facts(verdict: str | None) -> list[tuple[str, str]]:
    """That the model is not to be used, if so."""
    return [] if verdict is None else [("verdict", f"do not use this model: it is {verdict}")]


def score_facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of each metric its value on every split that has one."""
    facts = []
    for key, name in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        values = [
            f"{split} {metrics[f'{split}/{key}']:.4f}"
            for split in ("train", "val", "test")
            if f"{split}/{key}" in metrics
        ]
        facts.append((name, ", ".join(values)))
    return facts


def _clipping(clip: Mapping[str, Any]) -> str:
    max_norm = clip.get("max_norm")
    if max_norm is None:
        return "none"
    return f"{clip['clipped_fraction']:.1%} of steps at {max_norm:.4g}"


def classes_html(
    classes: Sequence[Mapping[str, Any]], confused: Sequence[Mapping[str, Any]]
) -> str:
    """A table of the classes; of many, the worst, and the pairs that are confused most."""
    shown = list(classes)
    if len(shown) > _MAX_CLASSES_SHOWN:
        with_rows = [one for one in shown if one["rows"]]
        shown = sorted(with_rows, key=lambda one: (one["f1"], -one["rows"]))[:_MAX_CLASSES_SHOWN]
    rows = [
        [
            one["class"],
            *("-" if one[key] is None else f"{one[key]:.4f}" for key in _CLASS_METRICS),
            f"{one['rows']:,}",
        ]
        for one in shown
    ]
    pairs = [[pair["true"], pair["predicted"], f"{pair['rows']:,}"] for pair in confused]
    return html.table(rows, header=["class", *_CLASS_METRICS, "rows"]) + (
        html.table(pairs[:_MAX_PAIRS_SHOWN], header=["true", "predicted", "rows"])
        if len(classes) > _MAX_CLASSES_SHOWN
        else ""
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
