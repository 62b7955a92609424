"""The text that shows what a model answers: given by the experiment, or a row of the val split."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import SAMPLE_FROM_VAL, ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import ScoredSplit
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.inference.predictor import Predictor

# Long enough to say something, short enough for a title.
WANTED_TOKENS = 16


def sample_answer(
    config: ExperimentConfig, predictor: Predictor, *, val: ScoredSplit, prepared: PreparedData
) -> dict[str, Any] | None:
    """The model's answer to the experiment's sample text; see :meth:`Predictions.answers`.

    A row of the val split is a text of the user's own, and its class comes along as
    ``true_label``.

    Args:
        config: the experiment.
        predictor: the model.
        val: the val split.
        prepared: the data that it is of, for the text.

    Returns:
        None where the experiment wants no sample.
    """
    if config.sample_text is None:
        return None
    if config.sample_text != SAMPLE_FROM_VAL:
        texts = [config.sample_text]
        return predictor.predict(texts).answers(texts)[0]
    _, row_id, row = min(map(_nearest, val.pieces()), key=lambda found: found[:2])
    # The row as it was trained on: of a text, prepared data may have an excerpt only.
    found = predictor.predict_rows(row)
    key = int(prepared.row_keys("val")[row_id])
    (answer,) = found.answers([prepared.texts("val", [key])[key]])
    return {**answer, "true_label": predictor.class_names[int(row.labels[0])]}


def _nearest(piece: tuple[npt.NDArray[np.int64], EncodedSplit]) -> tuple[int, int, EncodedSplit]:
    """Of the row whose length is nearest to the wanted one: the difference, its id, and itself."""
    row_ids, rows = piece
    differences = np.abs(rows.lengths - WANTED_TOKENS)
    row = int(differences.argmin())
    return int(differences[row]), int(row_ids[row]), rows.take(np.array([row]))
