"""The refit on train and val, once the best epoch is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rnnlane.data.batches.encoded import appended
from rnnlane.models.classifier import build_model
from rnnlane.records.refit import chosen_among, is_refit
from rnnlane.training.checkpoint import AVERAGE, BEST, STATE, WEIGHTS, final_weights
from rnnlane.training.loop import run_training
from rnnlane.training.metrics import score, summarize
from support.events import Remembered
from support.runs import ALONE, timeless, trained
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment

REFIT = "training.refit=true"
EVERY_STEP = "training.checkpoint_every_s=1e-9"
# The best of four epochs is the second, or with averages the third.
TASK = ("training.epochs=4", "training.learning_rate=0.1", "model.head_dropout=0.2")
AVERAGED = ("training.ema=0.4", "training.label_smoothing=0.1")


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def position(folder):
    state = json.loads((folder / STATE).read_text())
    return state["epoch"], state["step"]


def test_rows_of_val_follow_those_of_train():
    train, val = (tiny_data().splits[name] for name in ("train", "val"))
    both = appended(train, val)
    assert len(both) == len(train) + len(val)
    for first, split in ((0, train), (len(train), val)):
        for row in (0, 1, len(split) - 1):
            one, other = both.take(np.array([first + row])), split.take(np.array([row]))
            np.testing.assert_array_equal(one.token_ids, other.token_ids)
            assert both.labels[first + row] == split.labels[row]
    assert both.token_ids.dtype == train.token_ids.dtype
    assert both.offsets[-1] == len(both.token_ids)


@pytest.mark.parametrize(
    ("overrides", "num_epochs"),
    [
        (("training.schedule.kind=cosine",), 2),
        (AVERAGED, 3),
        (("training.reduction_shards=4", "training.early_stopping=1"), 2),
    ],
    ids=["cosine", "average", "shards"],
)
def test_a_refit_is_a_plain_run_on_both_splits_after_as_many_epochs(
    tmp_path, overrides, num_epochs
):
    refitted = trained(*TASK, *overrides, REFIT)
    assert refitted.best_epoch == len(refitted.refit) == num_epochs
    data, events = tiny_data(), Remembered(tmp_path)
    union = appended(data.splits["train"], data.splits["val"])
    data = replace(data, splits={**data.splits, "train": union})
    config = tiny_experiment(*TASK, *overrides, EVERY_STEP)
    run_training(config, data, group=ALONE, events=events)
    (after,) = (one for one in events.checkpoints if position(one) == (num_epochs + 1, 0))
    plain = load_file(after / (AVERAGE if overrides is AVERAGED else WEIGHTS))
    plain.pop("num_updates", None)
    assert same(plain, refitted.weights)
    for record, of_plain in zip(refitted.refit, events.histories[-1], strict=False):
        for key in ("epoch", "learning_rate", "train/loss", "train/accuracy", "grad_norm/mean"):
            assert record[f"refit/{key}"] == of_plain[key]
        assert not any("val/" in key for key in record)


def test_val_is_answered_by_the_first_training_and_test_by_the_refit(tmp_path):
    events = Remembered(tmp_path)
    plain, refitted = trained(*TASK), trained(*TASK, REFIT, events=events)
    assert not same(plain.weights, refitted.weights)
    assert refitted.best_epoch == plain.best_epoch
    tested = [
        {key: value for key, value in record.items() if not key.startswith("test/")}
        for record in (refitted.history[1], plain.history[1])
    ]
    assert timeless(tested[:1]) == timeless(tested[1:])
    np.testing.assert_array_equal(refitted.norms, plain.norms)
    np.testing.assert_array_equal(refitted.losses, plain.losses)
    np.testing.assert_array_equal(refitted.confusions["val"], plain.confusions["val"])
    config = tiny_experiment()
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0).eval()
    model.load_state_dict(refitted.weights)
    found = summarize(score(model, tiny_data().splits["test"], group=ALONE), num_classes=2)
    for key, value in found.items():
        assert refitted.history[1][f"test/{key}"] == value
    assert plain.history[1]["test/loss"] != refitted.history[1]["test/loss"]
    last = events.checkpoints[-1]
    assert same(load_file(last / BEST), plain.weights)
    assert same(final_weights(last), refitted.weights)
    records = events.histories[-1]
    assert [is_refit(record) for record in records] == [False] * 4 + [True] * 2
    assert len(chosen_among(records)) == 4
    assert events.saved_histories[-1] == records
    (note,) = events.notes
    assert "training again on train and val for 2 of 4 epochs" in note


@pytest.mark.parametrize("overrides", [("training.clip.policy=auto",), AVERAGED])
def test_a_refit_goes_on_bit_identical_from_any_checkpoint_of_either_training(tmp_path, overrides):
    settings = (*TASK, *overrides, "training.schedule.kind=plateau", REFIT, EVERY_STEP)
    events = Remembered(tmp_path)
    whole = trained(*settings, events=events)
    # Within the first training, at its end, and within and at the end of the refit.
    positions = [position(folder) for folder in events.checkpoints]
    assert positions == sorted(positions)
    first = positions.index((5, 0))
    for number in (first - 8, first, first + 1, first + 14, len(positions) - 1):
        resumed = trained(*settings, start=events.checkpoints[number])
        assert same(whole.weights, resumed.weights)
        assert timeless(resumed.history) == timeless(whole.history)
        assert timeless(_plain(resumed.refit)) == timeless(_plain(whole.refit))
        np.testing.assert_array_equal(resumed.norms, whole.norms)


def _plain(records):
    return [
        {key.removeprefix("refit/"): value for key, value in record.items()} for record in records
    ]


def test_progress_of_a_refit_is_named(monkeypatch):
    monkeypatch.setattr("rnnlane.training.monitor.PROGRESS_EVERY_S", -1.0)
    events = Remembered()
    trained(*TASK, REFIT, events=events)
    stages = dict.fromkeys(one.stage for one in events.reported)
    assert list(stages) == [f"epoch {n}/4" for n in (1, 2, 3, 4)] + [
        "refit epoch 1/2",
        "refit epoch 2/2",
    ]
    assert events.reported[-1].left_s == 0.0
