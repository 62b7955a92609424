from typing import Any

import numpy as np
import pytest

from rnnlane.inference.calibration import TemperatureChoice
from rnnlane.reports.run_advice import MAX_STEPS, next_steps, overfit_after
from rnnlane.reports.run_facts import LinearScores, RunFacts
from support.run_facts import epoch, manifest, run_facts, split_stats

QUIET = {"temperature": TemperatureChoice()}
MAJORITY = np.array([[0, 392], [0, 408]])
CLIP = {"max_norm": 3.0, "reason": "as given", "clipped_fraction": 0.2}
OVERFIT = [epoch(1, 0.6, 0.6), epoch(2, 0.4, 0.5), epoch(3, 0.1, 0.9)]
LOST = [epoch(1, 0.6, 0.6), epoch(2, 9.0, 9.0), epoch(3, 12.0, 11.0)]


def said(*overrides: str, **changes: Any) -> str:
    return " ".join(next_steps(facts(*overrides, **changes)))


def facts(*overrides: str, **changes: Any) -> RunFacts:
    # A run of which nothing is to be said, but for the changes.
    history = [{**epoch(i, 0.4, 0.5), "train/accuracy": 0.96} for i in (1, 2, 3)]
    return run_facts(*overrides, **{**QUIET, "history": history, "best_epoch": 2, **changes})


def test_a_run_without_faults_is_said_to_be_one() -> None:
    assert said().startswith("Nothing stands out: ")


@pytest.mark.parametrize(
    ("overrides", "changes", "advice"),
    [
        (("training.learning_rate=5",), {"history": LOST}, "Lower training.learning_rate (it is 5"),
        (
            (),
            {"history": LOST, "clip": {**CLIP, "max_norm": None}},
            "or set training.clip.policy to auto: training diverged in epoch 2",
        ),
        (
            (),
            {"confusions": {"val": MAJORITY, "test": MAJORITY}},
            "Check that the labels belong to the texts",
        ),
        (
            (),
            {"linear": LinearScores({"test/accuracy": 0.99, "val/accuracy": 1.0}, "run 1")},
            "Beat the linear baseline, or use it: its test accuracy is 0.0950 higher",
        ),
        (
            (),
            {
                "confusions": {"val": MAJORITY, "test": MAJORITY},
                "linear": LinearScores({"test/accuracy": 0.5, "val/accuracy": 0.5}, "run 1"),
            },
            "the linear model (0.5000) is no better than the most frequent class (0.5100) either",
        ),
        ((), {"best_epoch": 3}, "Raise training.epochs: by val/accuracy the best of the 3 epochs"),
        (
            ("training.epochs=1",),
            {"best_epoch": 1, "history": [epoch(1, 0.4, 0.5)]},
            "Raise training.epochs: one epoch",
        ),
        ((), {"history": OVERFIT}, "Against overfitting, stop sooner (training.early_stopping), "),
        ((), {"history": OVERFIT}, "after epoch 2 the val loss rose from 0.5000 to 0.9000"),
        (
            ("training.early_stopping=2", "model.head_dropout=0.1"),
            {"history": OVERFIT},
            "Against overfitting, add more dropout or use fewer units",
        ),
        ((), {"history": OVERFIT, "best_epoch": 3}, "set training.metric to val/loss: epoch 2 has"),
        (
            (),
            {"history": [epoch(i, 0.5, 0.5, 0.9) for i in (1, 2, 3)]},
            "Try a larger model",
        ),
        (
            # The first epoch's train accuracy is of worse weights than its val accuracy.
            (),
            {
                "history": [
                    {**epoch(1, 0.5, 0.5, 0.9), "train/accuracy": 0.8},
                    *({**epoch(i, 0.4, 0.5), "train/accuracy": 0.96} for i in (2, 3)),
                ],
                "best_epoch": 1,
            },
            "Nothing stands out: ",
        ),
        (
            (),
            {"clip": {**CLIP, "clipped_fraction": 0.95}},
            "Raise training.clip.max_norm or lower training.l",
        ),
        ((), {"clip": {**CLIP, "clipped_fraction": 0.0}}, "Leave out clipping, or try a smaller"),
        (
            (),
            {"metrics": {"val/accuracy": 0.9, "test/accuracy": 0.9, "test/macro_f1": 0.6}},
            "Set training.class_weights to balanced and training.metric to val/macro_f1 if rare",
        ),
    ],
)
def test_each_step_follows_from_what_the_run_shows(
    overrides: tuple[str, ...], changes: dict[str, Any], advice: str
) -> None:
    assert advice in said(*overrides, **changes)


def test_a_large_share_of_unknown_tokens_names_the_key_that_lowers_it() -> None:
    def unknown(share: float, *overrides: str, **changes: Any) -> str:
        base = manifest()
        val = split_stats([400, 400], base.class_names, unknown_token_rate=share)
        splits = {**base.splits, "val": val}
        return said(*overrides, manifest=manifest(splits=splits, **changes))

    assert "unknown" not in unknown(0.04)
    assert "Lower text.vocabulary.min_count (it is 2): 12.0% of the val tokens" in unknown(0.12)
    assert "Raise text.vocabulary.max_size (it is 30,000)" in unknown(0.12, vocabulary_size=30_000)
    assert "unknown" not in unknown(0.12, "text.tokenizer=characters")


def test_many_cut_texts_and_few_val_rows_are_told() -> None:
    base = manifest()
    assert "Raise text.max_length (it is 400), or keep the tail of a text" in said(
        manifest=manifest(cut={"max_length": 1200})
    )
    few = {**base.splits, "val": split_stats([20, 30], base.class_names)}
    perfect = {"val/accuracy": 1.0, "test/accuracy": 1.0, "test/macro_f1": 1.0}
    advice = said(manifest=manifest(splits=few), metrics=perfect)
    assert "Give val more rows (data.val)" in advice
    # By 50 rows without a mistake nobody knows that there are none.
    assert "with 50 the accuracy may be anything from 92.9% to 100.0%" in advice


def test_a_temperature_is_advised_where_it_helps_and_is_not_set() -> None:
    made = run_facts()
    assert "Set inference.temperature to fit" in said(temperature=made.temperature)
    assert "temperature" not in said(temperature=TemperatureChoice(1.0, 1.01))
    set_already = "inference.temperature=fit"
    assert "temperature" not in said(set_already, temperature=made.temperature)


@pytest.mark.parametrize(
    ("losses", "epoch_found"),
    [
        ([(0.6, 0.6), (0.4, 0.5), (0.1, 0.9)], 2),
        ([(0.6, 0.6), (0.4, 0.5), (0.3, 0.51)], None),  # within five percent
        ([(0.6, 0.6), (0.7, 0.9)], None),  # the train loss rose as well
        ([(0.6, 0.6), (0.4, 0.5)], None),
        ([(0.6, 0.6), (0.4, np.nan)], None),
        ([], None),
    ],
)
def test_overfitting_is_a_val_loss_that_rises_while_the_train_loss_falls(
    losses: list[tuple[float, float]], epoch_found: int | None
) -> None:
    history = [epoch(i, *pair) for i, pair in enumerate(losses, start=1)]
    assert overfit_after(run_facts(history=history)) == epoch_found


def test_the_steps_are_few() -> None:
    made = facts(
        "training.epochs=9",
        history=OVERFIT,
        best_epoch=3,
        metrics={"val/accuracy": 0.9, "test/accuracy": 0.9, "test/macro_f1": 0.6},
        linear=LinearScores({"test/accuracy": 0.99, "val/accuracy": 1.0}, "run 1"),
        clip={**CLIP, "clipped_fraction": 0.95},
        manifest=manifest(
            cut={"max_length": 1200},
            splits={
                name: split_stats([20, 30], ("bad", "good"), unknown_token_rate=0.2)
                for name in ("train", "val", "test")
            },
        ),
        temperature=TemperatureChoice(1.0, 2.0),
    )
    assert len(next_steps(made)) == MAX_STEPS
