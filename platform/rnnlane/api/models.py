"""Loading the model of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnlane.api.progress import shown
from rnnlane.api.verbs import Run, run_and_store

if TYPE_CHECKING:
    from rnnlane.config.runtime import Device
    from rnnlane.inference.model import Model


def load_model(
    run: Run = "latest", *, device: Device = "auto", tracking_uri: str | None = None
) -> Model:
    """The model of a run, in memory: with ``predict(texts)`` and ``explain(text)``.

    Args:
        run: a run's id, the unique prefix of an id, a name, "latest", a result, or
            ``models:/NAME@ALIAS`` for a model that was promoted.
        device: where it classifies: "cpu", "gpu", or "auto", a GPU if there is one. Answers are
            explained on the CPU.
        tracking_uri: the MLflow store; default: the result's, else as for training.

    Raises:
        RnnlaneError: there is no such run, it has no model, or the store cannot be read.
    """
    from rnnlane.inference.loading import load_predictor

    name, store = run_and_store(run, tracking_uri)
    with shown(None):
        run_id, predictor = load_predictor(name, tracking_uri=store, device=device)
        from rnnlane.inference.model import Model

        return Model(predictor, run_id=run_id)
