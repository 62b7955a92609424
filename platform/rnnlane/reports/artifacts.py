"""Writes the files of a run: its inputs, and its results as figures and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import redact
from rnnlane.records.predictions import FOLDER as PREDICTIONS
from rnnlane.records.predictions import Predictions
from rnnlane.records.refit import epochs_of_refit
from rnnlane.reports.classes import write_class_tables
from rnnlane.reports.figures import (
    save_confidence,
    save_confusion,
    save_curves,
    save_gradient_norms,
)
from rnnlane.reports.optional import optional
from rnnlane.training.loop import Outcome

if TYPE_CHECKING:
    from rnnlane.data.prepare.prepared import PreparedData

Confusion = npt.NDArray[np.int64]
# A matrix of 2,000 classes would be 30 MB of JSON.
MAX_MATRIX_CLASSES = 100
MAX_TITLE_CHARS = 160


def resolved_yaml(config: ExperimentConfig) -> str:
    """The experiment as YAML that runs again: every default filled in, no password in it."""
    plain = config.model_dump(mode="json")
    if config.tracking.uri is not None:
        plain["tracking"]["uri"] = redact(config.tracking.uri)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def write_inputs(folder: Path, config: ExperimentConfig, prepared: PreparedData) -> None:
    """Writes what a run starts from: the resolved experiment, manifest and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    (folder / "manifest.json").write_text(
        prepared.manifest.model_dump_json(indent=1), encoding="utf-8"
    )
    (folder / "vocabulary.jsonl").write_text(prepared.vocabulary_text(), encoding="utf-8")


def write_results(
    folder: Path,
    config: ExperimentConfig,
    outcome: Outcome,
    *,
    class_names: Sequence[str],
    sample: Mapping[str, Any] | None,
) -> None:
    """Writes the pictures, the tables of the classes, and the numbers as ``results.json``.

    ``sample`` is the answer to the experiment's sample text, if it has one.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    with optional("the picture of the epochs"):
        save_curves(outcome.history, figures / "curves.png", metric=config.training.metric)
    with optional("the picture of the gradient norms"):
        save_gradient_norms(
            outcome.norms,
            figures / "gradient_norms.png",
            clip_norm=outcome.clip["max_norm"],
            clipped_fraction=clipped_fraction(outcome),
            source=outcome.clip["reason"],
        )
    numbers: dict[str, Any] = {
        "best_epoch": outcome.best_epoch,
        "clip": {**outcome.clip, "clipped_fraction": clipped_fraction(outcome)},
        "history": outcome.history,
        **({"refit": epochs_of_refit(outcome.refit)} if outcome.refit else {}),
        **write_answers(folder, outcome.confusions, class_names, sample=sample),
    }
    (folder / "results.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")


def write_predictions(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Writes the probabilities of each split, as ``predictions/SPLIT.parquet``."""
    for split, of_split in predictions.items():
        of_split.write(folder / PREDICTIONS / f"{split}.parquet")


def write_answers(
    folder: Path,
    confusions: Mapping[str, Confusion],
    class_names: Sequence[str],
    *,
    sample: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Draws the confusion matrix on test and the sample's probabilities, and tables of the classes.

    Args:
        folder: of the run's results, which has a folder ``figures``.
        confusions: counts of (true, predicted) by split, int64 [C, C]; one is that of test.
        class_names: C names.
        sample: the answer to the experiment's sample text, if it has one.

    Returns:
        The numbers for ``results.json``. Above 100 classes ``test_confusion`` is None: the tables
        have its cells.
    """
    matrix = confusions["test"]
    with optional("the picture of the confusion matrix"):
        save_confusion(matrix, class_names, folder / "figures" / "confusion.png")
    write_class_tables(folder / "tables", confusions, class_names)
    if sample is not None:
        probabilities = np.array([[sample["probabilities"][name] for name in class_names]])
        title = sample["text"]
        if "true_label" in sample:
            # Cut before this is added, so that the picture's own cut leaves it there.
            title = title if len(title) <= MAX_TITLE_CHARS else f"{title[:MAX_TITLE_CHARS]} ..."
            title += f" (it is {sample['true_label']})"
        picture = folder / "figures" / "confidence.png"
        with optional("the picture of the sample"):
            save_confidence([title], probabilities, class_names, picture)
    is_small = len(class_names) <= MAX_MATRIX_CLASSES
    return {
        "test_confusion": matrix.tolist() if is_small else None,
        "sample": [] if sample is None else [dict(sample)],
    }


def clipped_fraction(outcome: Outcome) -> float:
    """Share of the run's steps whose gradient was clipped, in [0, 1]."""
    max_norm = outcome.clip["max_norm"]
    if max_norm is None or len(outcome.norms) == 0:
        return 0.0
    finite = np.isfinite(outcome.norms)
    return float((finite & (outcome.norms > max_norm)).mean())
