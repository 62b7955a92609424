"""The report of a run: gathers what it is about, and writes it."""

from __future__ import annotations

from collections.abc import Mapping

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.execution.run_record import all_records
from rnnlane.inference.calibration import tempered
from rnnlane.models.linear import fit_linear
from rnnlane.records.predictions import Predictions
from rnnlane.reports.run_facts import LinearScores, Mistake, most_confident_mistakes
from rnnlane.training.group import in_process
from rnnlane.training.metrics import score, summarize

# Up to this the baseline takes a second or two, and is fitted for the report.
MAX_TOKENS, MAX_CLASSES = 500_000, 20


def find_mistakes(
    prepared: PreparedData, predictions: Predictions, *, temperature: float
) -> list[Mistake]:
    """The most confident mistakes on val.

    Args:
        prepared: has the texts.
        predictions: on val, without temperature.
        temperature: of the model.

    Raises:
        DataError: the texts cannot be read.
    """
    answers = tempered(predictions, temperature)
    rows = most_confident_mistakes(answers)
    texts = prepared.texts("val", answers.row_keys[rows])
    names = answers.class_names
    return [
        Mistake(
            text=texts[int(answers.row_keys[row])],
            true=names[answers.labels[row]],
            predicted=names[answers.predicted[row]],
            confidence=float(answers.probabilities[row].max()),
        )
        for row in rows
    ]


def linear_scores(
    config: ExperimentConfig, prepared: PreparedData, splits: Mapping[str, EncodedSplit]
) -> LinearScores | None:
    """What the linear baseline reaches: that of an earlier baseline, or one that is fitted here.

    Returns:
        None where there is no earlier one and fitting would take more than a few seconds.
    """
    for record in reversed(all_records()):
        result = record.result or {}
        is_same = record.data_fingerprint == prepared.fingerprint
        if is_same and record.state == "finished" and "num_ngrams" in result:
            return LinearScores(result["metrics"], f"run {result['run_id'][:8]}")
    train, num_classes = splits["train"], len(prepared.class_names)
    if len(train.token_ids) > MAX_TOKENS or num_classes > MAX_CLASSES:
        return None
    model = fit_linear(
        train.token_ids,
        train.offsets,
        train.labels,
        config=config.baseline,
        vocabulary_size=prepared.manifest.vocabulary_size,
        num_classes=num_classes,
    )
    metrics = {
        f"{split}/{key}": value
        for split in ("val", "test")
        for key, value in summarize(
            score(model, splits[split], group=in_process("cpu")), num_classes=num_classes
        ).items()
    }
    return LinearScores(metrics, "fitted for this report")
