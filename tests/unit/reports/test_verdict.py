import math

import numpy as np
import pytest

from rnnlane.reports.verdict import divergence, learned_nothing, verdict

NAMES = ("bad", "good")


def epochs(*losses, val=None):
    val = val or losses
    return [
        {"epoch": float(number), "train/loss": loss, "val/loss": of_val}
        for number, (loss, of_val) in enumerate(zip(losses, val, strict=True), start=1)
    ]


def said(confusion, history=(), best_epoch=1, names=NAMES):
    counts = np.array(confusion, dtype=np.int64)
    return verdict(list(history), best_epoch=best_epoch, confusion=counts, class_names=names)


@pytest.mark.parametrize(
    ("confusion", "is_nothing"),
    [
        ([[0, 40], [0, 60]], True),  # always the majority
        ([[60, 0], [40, 0]], True),
        ([[0, 50], [50, 0]], True),  # always wrong
        ([[25, 25], [22, 28]], True),  # 53 of 100, which chance gives
        ([[250, 250], [180, 320]], False),  # 57% of 1,000 it does not
        ([[5, 5], [20, 970]], False),  # accuracy below the share, but half of the rare rows found
        ([[0, 10], [0, 990]], True),
        ([[0, 0], [0, 10]], False),  # one class only: nothing can be told
        ([[0, 0], [0, 0]], False),
        ([[10, 0], [0, 10]], False),
    ],
)
def test_nothing_was_learned_where_a_constant_answer_does_as_well(confusion, is_nothing):
    counts = np.array(confusion)
    assert learned_nothing(counts) is is_nothing
    assert learned_nothing(counts[::-1, ::-1]) is is_nothing


def test_a_fair_coin_is_told_from_learning():
    """Of 200 coins at most a few look as if they had learned something."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (200, 400))
    coins = random.integers(0, 2, (200, 400))
    learned = 0
    for of_coin, truth in zip(coins, labels, strict=True):
        confusion = np.zeros((2, 2), dtype=np.int64)
        np.add.at(confusion, (truth, of_coin), 1)
        learned += not learned_nothing(confusion)
    assert learned <= 12


def test_of_a_refitted_model_the_refit_decides():
    fine, lost = epochs(0.6, 0.5), epochs(0.6, 9.0)
    plain = [{"epoch": float(n), "train/loss": loss} for n, loss in ((1, 0.6), (2, 8.0))]
    nothing, something = np.array([[0, 40], [0, 60]]), np.array([[40, 0], [0, 60]])

    def of(history, confusion, refit=()):
        return verdict(history, best_epoch=1, confusion=confusion, class_names=NAMES, refit=refit)

    assert "diverged in epoch 2 (train loss 8" in of(fine, nothing, plain)
    assert "diverged" not in of(lost, nothing, plain[:1])
    assert of(lost, something, plain[:1]) is None
    unanswered = [{**fine[0], "test/loss": math.nan}, fine[1]]
    assert of(unanswered, something, plain).startswith("without an answer")
    assert "None" not in of(unanswered, something, plain[:1])


@pytest.mark.parametrize(
    ("history", "epoch"),
    [
        (epochs(0.7, 0.6, 0.5), None),
        (epochs(0.7, 0.9, 1.2), None),
        (epochs(0.5, 0.1, val=(0.5, 3.0)), None),  # overfitting
        (epochs(5.0, 0.6), None),  # it has recovered
        (epochs(0.6, 3.0, 14.0), 2),
        (epochs(0.6, 0.6, 0.6, val=(0.6, 0.6, math.nan)), 3),
        (epochs(math.nan), 1),
        ([], None),
    ],
)
def test_divergence_is_a_loss_that_ends_far_above_a_guess(history, epoch):
    found = divergence(history, num_classes=2)
    if epoch is None:
        assert found is None
    else:
        assert f"diverged in epoch {epoch} (train loss" in found
        assert found.endswith("a uniform guess has 0.6931)")


def test_the_verdict_names_the_constant_answer_and_why():
    majority = [[0, 40], [0, 60]]
    assert said(majority) == (
        "no better than always answering 'good': its test accuracy is 0.6000, "
        "that of the constant answer 0.6000"
    )
    assert said([[6, 4], [3, 7]]).startswith("not shown to be better than always answering 'bad'")
    assert said(majority, epochs(0.6, 9.0)).endswith(
        "; training diverged in epoch 2 (train loss 9; a uniform guess has 0.6931)"
    )
    assert said([[10, 0], [0, 10]], epochs(0.6, 9.0)) is None
    assert said([[10, 0], [0, 10]], epochs(math.inf)).startswith(
        "without an answer, as no probability"
    )
