"""The runs of several seeds of one experiment, as one result: mean and spread of their metrics."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rnnlane.records import html
from rnnlane.records.results import Result, TrainResult, epochs_of

if TYPE_CHECKING:
    import pandas as pd

SHOWN_METRICS = {
    "best/val/accuracy": "val accuracy",
    "best/val/macro_f1": "val macro F1",
    "test/accuracy": "test accuracy",
    "test/macro_f1": "test macro F1",
}
"""The metrics that people are shown, and what they are called there; ``--json`` has all."""


@dataclass(frozen=True)
class Spread:
    """How a metric varies over seeds.

    Attributes:
        mean: of the seeds' values.
        std: their sample standard deviation, with n - 1; NaN for one seed.
        min: the smallest.
        max: the largest.
    """

    mean: float
    std: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more; where one is not finite, all four are NaN."""
        if not all(map(math.isfinite, values)):
            return cls(math.nan, math.nan, math.nan, math.nan)
        std = statistics.stdev(values) if len(values) > 1 else math.nan
        return cls(statistics.fmean(values), std, min(values), max(values))

    def __str__(self) -> str:
        return plus_minus(self.mean, self.std)


def plus_minus(mean: float, std: float | None) -> str:
    """Mean ± standard deviation, as papers print it; without the latter where there is none."""
    return f"{mean:.4f}" if std is None or math.isnan(std) else f"{mean:.4f} ± {std:.4f}"


def spreads(metrics: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of each metric that every seed has."""
    keys = [key for key in metrics[0] if all(key in one for one in metrics)] if metrics else []
    return {key: Spread.of([one[key] for one in metrics]) for key in keys}


@dataclass(frozen=True, repr=False)
class SeedsResult(Result):
    """The finished runs of several seeds.

    Attributes:
        run_id: of the MLflow run that has the runs of the seeds as children.
        tracking_uri: the MLflow store, without passwords.
        config_fingerprint: of the experiment.
        data_fingerprint: of the prepared data.
        prepared_path: folder or URI of the prepared data.
        metric: what chose each seed's best epoch, and the best seed.
        num_seeds: how many there are.
        metrics: mean, std, min and max over the seeds, by key: ``best/val/...`` of each seed's best
            epoch, and ``test/...``.
        seeds: of each seed, in order: seed, run_id, run_url, model_uri, epochs, best_epoch, metrics
            (by the same keys), verdict, report and run_folder.
        best_seed: the seed that is best on val, never by test; verbs that want a model take its.
        model_uri: that seed's, an argument for ``mlflow.pyfunc.load_model``.
        run_folder: the local files of the run; each seed has its own.
        report: path of the report; empty if it could not be written.
        is_tracked: whether the store has received everything, of every seed.
        run_url: MLflow's page of the run; None if the store is no server.
        runs_url: that of all runs of its experiment.
        notes: what to know before trusting the metrics, in sentences.
    """

    run_id: str
    tracking_uri: str
    config_fingerprint: str
    data_fingerprint: str
    prepared_path: str
    metric: str
    num_seeds: int
    metrics: dict[str, dict[str, float]]
    seeds: list[dict[str, Any]]
    best_seed: int
    model_uri: str
    run_folder: str
    report: str = ""
    is_tracked: bool = True
    run_url: str | None = None
    runs_url: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def history(self) -> pd.DataFrame:
        """The metrics of each epoch of each seed, indexed by seed and epoch.

        Raises:
            DataError: the file of the results of a seed is no longer there.
        """
        import pandas as pd

        of_seeds = {one["seed"]: epochs_of(one["run_folder"]) for one in self.seeds}
        rows = [{"seed": seed, **epoch} for seed, epochs in of_seeds.items() for epoch in epochs]
        return pd.DataFrame(rows).astype({"epoch": int}).set_index(["seed", "epoch"])

    def _facts(self) -> list[tuple[str, str]]:
        shown = [
            (name, plus_minus(self.metrics[key]["mean"], self.metrics[key]["std"]))
            for key, name in SHOWN_METRICS.items()
            if key in self.metrics
        ]
        named = ", ".join(str(one["seed"]) for one in self.seeds)
        return [
            ("run", self.run_id[:8]),
            ("seeds", named),
            *shown,
            ("best on val", f"seed {self.best_seed} (by {self.metric})"),
            ("store", self.tracking_uri),
        ]

    def _details(self) -> list[str]:
        header, rows = seed_table(self.seeds)
        return [html.table(rows, header=header), html.paragraphs(self.notes)]


def seed_table(seeds: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table of the seeds, as people are shown it.

    Args:
        seeds: as :attr:`SeedsResult.seeds`.
    """
    shown = [key for key in SHOWN_METRICS if all(key in one["metrics"] for one in seeds)]
    header = ["seed", "run", "best epoch", *(SHOWN_METRICS[key] for key in shown)]
    rows = [
        [
            str(one["seed"]),
            one["run_id"][:8],
            f"{one['best_epoch']} of {one['epochs']}",
            *(f"{one['metrics'][key]:.4f}" for key in shown),
        ]
        for one in seeds
    ]
    return header, rows


def describe_seed(seed: int, result: TrainResult, metrics: Mapping[str, float]) -> dict[str, Any]:
    """An entry of :attr:`SeedsResult.seeds`.

    Args:
        seed: of the run.
        result: of the run.
        metrics: of its best epoch and of test, under MLflow's keys.
    """
    return {
        "seed": seed,
        "run_id": result.run_id,
        "run_url": result.run_url,
        "model_uri": result.model_uri,
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "metrics": dict(metrics),
        "verdict": result.verdict,
        "report": result.report,
        "run_folder": result.run_folder,
    }


def as_plain(of_metrics: Mapping[str, Spread]) -> dict[str, dict[str, float]]:
    """Spreads by metric as plain values."""
    return {key: asdict(spread) for key, spread in of_metrics.items()}
