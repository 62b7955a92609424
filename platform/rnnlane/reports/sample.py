"""The text that shows what a model answers: given by the experiment, or a row of the val split."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rnnlane.config.experiment import SAMPLE_FROM_VAL, ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.inference.predictor import Predictor
from rnnlane.reports.artifacts import answers

# Long enough to say something, short enough for a title.
WANTED_TOKENS = 16


def sample_answer(
    config: ExperimentConfig, predictor: Predictor, *, val: EncodedSplit, vocabulary: Vocabulary
) -> dict[str, Any] | None:
    """The model's answer to the experiment's sample text; see :func:`answers`.

    Prepared data has no texts, so a row of the val split is shown as the tokens that the model
    reads, and its own class comes along as ``true_label``.

    Returns:
        None where the experiment wants no sample.
    """
    if config.sample_text is None:
        return None
    if config.sample_text != SAMPLE_FROM_VAL:
        texts = [config.sample_text]
        return answers(texts, predictor, predictor.probabilities(texts))[0]
    row = int(np.abs(val.lengths - WANTED_TOKENS).argmin())
    tokens, _ = val.tokens_of(np.array([row]))
    text = ("" if config.text.tokenizer == "characters" else " ").join(vocabulary.decode(tokens))
    batch = BatchMaker(val, torch.device("cpu"))(np.array([row]))
    with torch.inference_mode():
        logits = predictor.logits(batch.token_ids, batch.lengths)
    (answer,) = answers([text], predictor, logits.double().softmax(dim=1).numpy())
    return {**answer, "true_label": predictor.class_names[int(val.labels[row])]}
