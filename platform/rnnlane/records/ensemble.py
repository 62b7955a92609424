"""What the verb `ensemble` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnlane.records import html
from rnnlane.records.results import Result, classes_html, score_facts, verdict_facts


@dataclass(frozen=True, repr=False)
class EnsembleResult(Result):
    """A finished ensemble.

    Attributes:
        run_id: of the MLflow run.
        tracking_uri: the MLflow store, without passwords.
        data_fingerprint: of the prepared data of the first member.
        model_uri: argument for ``mlflow.pyfunc.load_model``.
        metrics: of val and test, as ``test/accuracy``, on the rows that all members have.
        weighting: how the weights were found: ``val`` or ``mean``.
        members: of each member run_id, name, model (``rnn``, ``linear`` or ``ensemble``), weight,
            and its own ``val/accuracy``, ``val/loss``, ``test/accuracy`` and ``test/loss``.
        num_rows: rows of val and of test that all members have.
        sample: the prediction for the sample text; None if the first member has none.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        run_url, runs_url, classes, confused, notes, report, temperature, verdict: see
            :class:`rnnlane.records.results.TrainResult`.
    """

    run_id: str
    tracking_uri: str
    data_fingerprint: str
    model_uri: str
    metrics: dict[str, float]
    weighting: str
    members: list[dict[str, Any]]
    num_rows: dict[str, int]
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

    def member_rows(self) -> list[list[str]]:
        """For each member, and for the ensemble: name, weight and accuracies, as texts."""
        keys = ("val/accuracy", "test/accuracy")
        rows = [
            [
                f"{one['name']} ({one['run_id'][:8]})",
                f"{one['weight']:.3f}",
                *(f"{one[key]:.4f}" for key in keys),
            ]
            for one in self.members
        ]
        return [*rows, ["ensemble", "", *(f"{self.metrics[key]:.4f}" for key in keys)]]

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("run", self.run_id[:8]),
            *verdict_facts(self.verdict),
            *score_facts(self.metrics),
            ("members", f"{len(self.members)}, weights by {self.weighting}"),
            ("store", self.tracking_uri),
        ]

    def _details(self) -> list[str]:
        header = ["model", "weight", "val accuracy", "test accuracy"]
        return [
            html.table(self.member_rows(), header=header),
            classes_html(self.classes, self.confused),
        ]
