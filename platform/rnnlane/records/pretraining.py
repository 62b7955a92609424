"""What `rnnlane pretrain` returns."""

from __future__ import annotations

from dataclasses import dataclass

from rnnlane.records.results import Result


@dataclass(frozen=True, repr=False)
class PretrainResult(Result):
    """A finished pretraining: a language model for ``model.init_from``.

    Attributes:
        run_id: of the MLflow run.
        tracking_uri: the MLflow store, without passwords.
        config_fingerprint: of what is computed.
        data_fingerprint: of the prepared data.
        prepared_path: folder or URI of the prepared data.
        metrics: of the best epoch, such as ``val/perplexity``.
        epochs: number of epochs trained.
        best_epoch: the epoch, from 1, whose weights the model has.
        num_texts: texts of each split; those of val are only predicted.
        run_folder: the run's local files.
        is_tracked: whether the store has received everything; if not, the rest is in the outbox.
        run_url: MLflow's page of the run; None if the store is no server.
        runs_url: that of all runs of its experiment.
    """

    run_id: str
    tracking_uri: str
    config_fingerprint: str
    data_fingerprint: str
    prepared_path: str
    metrics: dict[str, float]
    epochs: int
    best_epoch: int
    num_texts: dict[str, int]
    run_folder: str
    is_tracked: bool = True
    run_url: str | None = None
    runs_url: str | None = None

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("run", self.run_id[:8]),
            ("best epoch", f"{self.best_epoch} of {self.epochs}"),
            ("val perplexity", f"{self.metrics['val/perplexity']:.1f}"),
            ("store", self.tracking_uri),
        ]
