import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from rnnlane.training.metrics import (
    TOKENS_PER_BATCH,
    Scores,
    confusion,
    length_batches,
    summarize,
)
from support.runs import ALONE, scored


def test_metrics_agree_with_scikit_learn():
    scores = scored(ALONE, 83, 2)
    found = summarize(scores, num_classes=2)
    positive = scores.last_class
    assert found["loss"] == pytest.approx(log_loss(scores.labels, positive), rel=1e-5)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(scores.labels, positive))
    assert found["accuracy"] == (scores.labels == scores.predicted).mean()
    assert found["macro_f1"] == pytest.approx(
        f1_score(scores.labels, scores.predicted, average="macro")
    )


def test_roc_auc_is_left_out_where_it_cannot_be_measured():
    one_class = Scores(np.zeros(3, int), np.zeros(3, int), np.zeros(3), np.zeros(3))
    assert "roc_auc" not in summarize(one_class, num_classes=2)
    not_finite = Scores(np.array([0, 1]), np.zeros(2, int), np.zeros(2), np.array([np.nan, 0]))
    assert "roc_auc" not in summarize(not_finite, num_classes=2)


def test_macro_f1_counts_classes_that_no_row_has():
    scores = Scores(np.array([0, 0]), np.array([0, 0]), np.zeros(2), np.zeros(2))
    assert summarize(scores, num_classes=4)["macro_f1"] == 0.25


def test_confusion_has_truth_in_rows():
    scores = Scores(np.array([0, 0, 1]), np.array([0, 1, 1]), np.zeros(3), np.zeros(3))
    assert confusion(scores, num_classes=3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_batches_hold_every_row_once_and_bound_the_memory():
    lengths = np.random.default_rng(0).integers(1, 90_000, 500)
    batches = list(length_batches(lengths))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert all(
        len(rows) == 1 or len(rows) * lengths[rows].max() <= TOKENS_PER_BATCH for rows in batches
    )
