import numpy as np
import pytest
import torch
from sklearn.metrics import (
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from rnnlane.training.metrics import (
    TOKENS_PER_BATCH,
    TOKENS_PER_BATCH_ON_GPUS,
    Scores,
    confusion,
    length_batches,
    most_confused,
    per_class,
    score_and_keep,
    summarize,
)
from support.runs import ALONE, scored
from support.tiny import tiny_split


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


def test_macro_f1_is_over_the_classes_that_have_a_row():
    scores = Scores(np.array([0, 0, 1]), np.array([0, 3, 1]), np.zeros(3), np.zeros(3))
    assert summarize(scores, num_classes=4)["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_confusion_has_truth_in_rows():
    scores = Scores(np.array([0, 0, 1]), np.array([0, 1, 1]), np.zeros(3), np.zeros(3))
    assert confusion(scores, num_classes=3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_the_probabilities_kept_are_those_of_the_rows_asked_for():
    kept = np.array([3, 40, 82])
    scores = scored(ALONE, 83, 3, kept=kept)
    whole = scored(ALONE, 83, 3, kept=np.arange(83))
    assert scored(ALONE, 83, 3).probabilities is None
    assert scores.probabilities.dtype == np.float32
    np.testing.assert_array_equal(scores.probabilities, whole.probabilities[kept])
    np.testing.assert_array_equal(whole.probabilities.argmax(axis=1), whole.predicted)
    np.testing.assert_array_equal(whole.probabilities[:, -1], whole.last_class)
    of_truth = whole.probabilities[np.arange(83), whole.labels]
    np.testing.assert_allclose(-np.log(of_truth), whole.losses, rtol=1e-5)


def test_of_a_split_with_too_many_probabilities_the_rows_of_the_smallest_keys_are_kept(monkeypatch):
    monkeypatch.setattr("rnnlane.records.predictions.MAX_VALUES", 20)
    keys = np.random.default_rng(0).permutation(30).astype(np.uint64)
    split = tiny_split(30, 5)
    _, kept = score_and_keep(
        lambda tokens, _: torch.nn.functional.one_hot(tokens[:, 0] % 2, 2).float(),
        split,
        row_keys=keys,
        class_names=("a", "b"),
        group=ALONE,
    )
    assert sorted(kept.row_keys) == list(range(10))
    assert kept.num_split_rows == 30
    rows = {int(key): row for row, key in enumerate(keys)}
    for key, label, predicted in zip(kept.row_keys, kept.labels, kept.predicted, strict=True):
        row = rows[int(key)]
        assert label == split.labels[row]
        assert predicted == split.token_ids[split.offsets[row]] % 2


@pytest.mark.parametrize(
    ("device", "most"), [("cpu", TOKENS_PER_BATCH), ("cuda", TOKENS_PER_BATCH_ON_GPUS)]
)
def test_batches_hold_every_row_once_and_bound_the_memory(device, most):
    lengths = np.random.default_rng(0).integers(1, 90_000, 500)
    batches = list(length_batches(lengths, device=torch.device(device)))
    assert sorted(np.concatenate(batches)) == list(range(500))
    # A row that is longer than a batch is one by itself.
    sizes = [len(rows) * lengths[rows].max() for rows in batches if len(rows) > 1]
    assert most / 2 < max(sizes) <= most


def test_the_metrics_of_each_class_agree_with_scikit_learn_and_with_macro_f1():
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 5, 200), random.integers(0, 6, 200)
    scores = Scores(labels, predicted, np.zeros(200), np.zeros(200))
    found = per_class(confusion(scores, num_classes=7))
    expected = precision_recall_fscore_support(labels, predicted, labels=range(5), zero_division=0)
    np.testing.assert_allclose(np.array(found[:5]).T, expected)
    for absent in found[5:]:
        assert absent.precision == 0
        assert np.isnan([absent.recall, absent.f1]).all()
        assert absent.num_rows == 0
    assert np.nanmean([one.f1 for one in found]) == pytest.approx(
        summarize(scores, num_classes=7)["macro_f1"]
    )


def test_the_most_confused_pairs_come_first_and_right_answers_are_none():
    matrix = np.array([[90, 2, 0], [5, 5, 0], [5, 3, 2]])
    assert most_confused(matrix) == [
        (1, 0, 5, 0.5),
        (2, 0, 5, 0.5),
        (2, 1, 3, 0.3),
        (0, 1, 2, pytest.approx(2 / 92)),
    ]
    assert most_confused(matrix, limit=1) == [(1, 0, 5, 0.5)]
    assert most_confused(np.eye(3, dtype=int)) == []
