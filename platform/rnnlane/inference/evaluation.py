"""The scores of a trained model: of a split of its prepared data, or of a file."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.file_split import ScoredSplit
from rnnlane.data.labeled_file import counted, read_labeled
from rnnlane.errors import DataError
from rnnlane.inference.ensemble import AnyPredictor, EnsemblePredictor
from rnnlane.inference.predictor import encoded_split
from rnnlane.records.events import RunEvents
from rnnlane.records.results import Evaluation
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import cpu_settings
from rnnlane.training.metrics import Scores, confusion, score, scores_of, summarize


def evaluate_file(
    run_id: str, data: str, config: ExperimentConfig, predictor: AnyPredictor, events: RunEvents
) -> Evaluation:
    """Scores a model on a file of labeled texts; what is not scored is told and counted.

    Raises:
        DataError: the file cannot be read, or none of its rows can be scored.
    """
    rows = read_labeled(data, config.data, class_names=predictor.class_names)
    labels = np.array(rows.labels, dtype=np.int64)
    if isinstance(predictor, EnsemblePredictor):
        used = predictor.has_tokens(rows.texts)
    else:
        encoded = predictor.encoded(rows.texts)
        used = np.array([len(row.token_ids) > 0 for row in encoded], dtype=np.bool_)
    # Preparing data drops them too, so that a file scores as the split that is made of it.
    skipped = {**rows.skipped, "empty_text": int((~used).sum())}
    skipped = {reason: count for reason, count in skipped.items() if count}
    if not used.any():
        raise DataError(
            f"there must be a text to score, but all {len(used)} are empty for the model",
            where=data,
        )
    if rows.num_broken:
        events.note(f"texts with bytes that are not UTF-8, left out: {rows.num_broken:,}")
    if skipped:
        total = len(rows.texts) + sum(rows.skipped.values())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in skipped.items())
        events.note(f"rows not scored: {sum(skipped.values()):,} of {total:,} ({reasons})")
    if rows.unknown_labels:
        events.note(f"labels that the model does not know: {counted(rows.unknown_labels)}")
    if _is_trained_on(data, config):
        events.note(
            f"{data} is the experiment's own data, and most of its rows were trained on: other "
            "texts score lower; without --data the test split is scored"
        )
    if isinstance(predictor, EnsemblePredictor):
        texts = [text for text, is_used in zip(rows.texts, used, strict=True) if is_used]
        found = scores_of(predictor.probabilities(texts), labels[used])
        scores = _evaluation(run_id, data, found, predictor)
    else:
        kept = [row for row, is_used in zip(encoded, used, strict=True) if is_used]
        scores = evaluate_split(run_id, data, encoded_split(kept, labels[used]), predictor)
    return replace(scores, skipped=skipped, unknown_labels=rows.unknown_labels)


def _is_trained_on(data: str, config: ExperimentConfig) -> bool:
    """Whether the file is the experiment's own, and not that of its test rows."""
    path = config.data.source.locations.get("path")
    return path is not None and os.path.realpath(path) == os.path.realpath(data)


def evaluate_split(
    run_id: str, split: str, rows: ScoredSplit, predictor: AnyPredictor
) -> Evaluation:
    """Scores a model on encoded rows; ``split`` names them in the result."""
    if isinstance(predictor, EnsemblePredictor):
        probabilities = np.zeros((len(rows), len(predictor.class_names)))
        labels = np.zeros(len(rows), dtype=np.int64)
        for ids, piece in rows.pieces():
            labels[ids] = piece.labels
            probabilities[ids] = predictor.predict_rows(piece).probabilities
        found = scores_of(probabilities, labels)
        return _evaluation(run_id, split, found, predictor)
    group = WorkerGroup(rank=0, world_size=1, device=predictor.device)
    with cpu_settings(group), predictor.as_served():
        found = score(
            predictor.logits,
            rows,
            group=group,
            hasher=predictor.hasher,
            temperature=predictor.temperature,
        )
    return _evaluation(run_id, split, found, predictor)


def _evaluation(run_id: str, split: str, scores: Scores, predictor: AnyPredictor) -> Evaluation:
    num_classes = len(predictor.class_names)
    return Evaluation(
        run_id=run_id,
        split=split,
        num_rows=len(scores.labels),
        metrics=summarize(scores, num_classes=num_classes),
        class_names=predictor.class_names,
        confusion=confusion(scores, num_classes=num_classes).tolist(),
    )
