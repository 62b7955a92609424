import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from rnnlane.errors import TrainingError
from rnnlane.models.classifier import build_model
from rnnlane.training import loop, monitor
from rnnlane.training.checkpoint import Checkpointer
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import Outcome, run_training
from rnnlane.training.metrics import score, summarize
from rnnlane.training.step import Stepper
from support.events import Clock, Remembered
from support.runs import timeless, trained
from support.tiny import tiny_data, tiny_experiment

ALONE = WorkerGroup(0, 1, torch.device("cpu"))
DEEP = ("model.num_layers=2", "model.bidirectional=true", "model.dropout=0.3")


def same_weights(one: Outcome, other: Outcome) -> bool:
    return all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())


def test_two_runs_of_one_experiment_are_bit_identical():
    one, other = trained(*DEEP), trained(*DEEP)
    assert same_weights(one, other)
    assert timeless(one.history) == timeless(other.history)
    assert not same_weights(one, trained(*DEEP, "seed=1"))


@pytest.mark.parametrize("key", ["embedding_dropout", "token_dropout", "head_dropout"])
def test_masks_are_a_function_of_the_step(key):
    setting = f"model.{key}=0.4"
    torch.manual_seed(1)
    one = trained(setting)
    torch.manual_seed(2)
    assert same_weights(one, trained(setting))
    assert not same_weights(one, trained())


def test_a_training_seed_stands_in_for_the_experiments_own():
    one = trained(*DEEP, "seed=7")
    assert same_weights(one, trained(*DEEP, "seed=3", "training.seed=7"))
    assert not same_weights(one, trained(*DEEP, "seed=7", "training.seed=3"))
    # Zero is a seed too.
    assert same_weights(trained(*DEEP), trained(*DEEP, "seed=7", "training.seed=0"))


def test_without_a_test_split_a_run_is_the_same_but_for_the_test():
    whole = trained(*DEEP)
    config, data = tiny_experiment(*DEEP), tiny_data()
    splits = {name: split for name, split in data.splits.items() if name != "test"}
    untested = run_training(config, replace(data, splits=splits), group=ALONE, events=Remembered())
    assert same_weights(whole, untested)
    assert not any(key.startswith("test/") for record in untested.history for key in record)
    kept = [
        {key: value for key, value in record.items() if not key.startswith("test/")}
        for record in whole.history
    ]
    assert kept != whole.history
    assert timeless(untested.history) == timeless(kept)
    assert untested.best_epoch == whole.best_epoch
    assert untested.confusions == {}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "more"),
    [
        ("adam", "constant", ("model.ngrams={bits: 8}",)),
        ("adamw", "cosine", ()),
        ("sgd", "plateau", ()),
    ],
)
def test_a_run_goes_on_bit_identical_from_any_checkpoint(tmp_path, optimizer, schedule, more):
    overrides = (
        *DEEP,
        *more,
        f"training.optimizer={optimizer}",
        f"training.schedule.kind={schedule}",
        "training.schedule.patience=0",
        "training.momentum=0.9",
        "training.epochs=3",
        "training.clip.policy=auto",
        "training.checkpoint_every_s=1e-9",
    )
    events = Remembered(tmp_path)
    whole = trained(*overrides, events=events)
    assert len(events.checkpoints) == 27
    for checkpoint in (events.checkpoints[3], events.checkpoints[8], events.checkpoints[20]):
        rest = Remembered()
        resumed = trained(*overrides, events=rest, start=checkpoint)
        assert same_weights(whole, resumed)
        assert timeless(resumed.history) == timeless(whole.history)
        np.testing.assert_array_equal(resumed.norms, whole.norms)
        np.testing.assert_array_equal(resumed.losses, whole.losses)


class Slow(Remembered):
    """On its clock an epoch takes 8 s, and writing a checkpoint 1 s."""

    def __init__(self, folder=None):
        super().__init__(folder, clock=Clock(), write_s=1.0)

    def epoch(self, history):
        super().epoch(history)
        self.clock.seconds += 8.0


@pytest.fixture
def slow(monkeypatch, tmp_path):
    """Events whose clock the checkpoints go by."""
    events = Slow(tmp_path / "checkpoints")
    monkeypatch.setattr(loop, "Checkpointer", partial(Checkpointer, clock=events.clock))
    return events


@pytest.mark.parametrize(
    ("overrides", "saved"),
    [
        # The next one after 24 s, as one takes 1 s; the last epoch always.
        (("training.epochs=6",), [1, 4, 6]),
        # After 16 s in the first steps of epochs 3 and 5, which have 2 and 4 epochs behind them.
        (("training.epochs=6", "training.checkpoint_every_s=12"), [1, 2, 4, 6]),
        (("training.epochs=6", "training.learning_rate=1e-9", "training.early_stopping=2"), [1, 3]),
    ],
)
def test_epochs_end_with_a_checkpoint_where_it_takes_little_of_the_time(slow, overrides, saved):
    outcome = trained(*overrides, events=slow)
    assert len(outcome.history) == saved[-1] == len(slow.histories)
    assert [len(history) for history in slow.saved_histories] == saved
    assert slow.saved_histories[-1] == slow.histories[-1]


def test_a_run_that_lost_epochs_trains_them_again_to_the_same_bits(slow, tmp_path):
    overrides = (*DEEP, "training.epochs=6", "training.clip.policy=auto")
    whole = trained(*overrides, events=slow)
    resumed, rest = {}, {}
    for number in (0, 1):
        rest[number] = Slow(tmp_path / str(number))
        resumed[number] = trained(*overrides, events=rest[number], start=slow.checkpoints[number])
        assert same_weights(whole, resumed[number])
        assert timeless(resumed[number].history) == timeless(whole.history)
        np.testing.assert_array_equal(resumed[number].norms, whole.norms)
    assert [len(history) for history in rest[0].histories] == [1, 2, 3, 4, 5, 6]
    assert [len(history) for history in rest[1].saved_histories][:1] == [4]


def test_the_best_weights_are_a_copy_that_later_training_does_not_change():
    settings = ("training.learning_rate=0.1", "training.metric=val/loss")
    outcome = trained(*settings, "training.epochs=4")
    assert outcome.best_epoch == 2
    # The learning rate is constant, so a run that ends there is the same up to there.
    shorter = trained(*settings, "training.epochs=2")
    assert same_weights(outcome, shorter)
    assert {tensor.device.type for tensor in outcome.weights.values()} == {"cpu"}


def test_a_finished_run_can_be_taken_up_again_for_its_outcome(tmp_path):
    events = Remembered(tmp_path)
    whole = trained(events=events)
    again = trained(start=events.checkpoints[-1])
    assert same_weights(whole, again)
    assert again.history == whole.history


def test_a_resumed_run_keeps_the_predictions_of_an_uninterrupted_one(tmp_path):
    keys = {name: np.arange(count).astype(np.uint64) for name, count in (("val", 37), ("test", 41))}
    data = replace(tiny_data(), row_keys=keys, class_names=("even", "odd"))
    config = tiny_experiment("training.checkpoint_every_s=1e-9")
    events = Remembered(tmp_path)
    whole = run_training(config, data, group=ALONE, events=events)
    assert {name: len(kept) for name, kept in whole.predictions.items()} == {"val": 37, "test": 41}
    for start in (events.checkpoints[4], events.checkpoints[-1]):
        resumed = run_training(config, data, group=ALONE, events=Remembered(), start=start)
        for name, kept in whole.predictions.items():
            found = resumed.predictions[name].probabilities
            np.testing.assert_array_equal(found, kept.probabilities)
    assert trained().predictions == {}


def test_the_model_learns_and_the_best_epoch_is_kept():
    events = Remembered()
    outcome = trained("training.epochs=25", "training.learning_rate=0.03", events=events)
    accuracies = [record["val/accuracy"] for record in outcome.history]
    assert max(accuracies) > 0.8
    assert outcome.best_epoch == accuracies.index(max(accuracies)) + 1
    assert "test/accuracy" in outcome.history[outcome.best_epoch - 1]
    assert {split: matrix.sum() for split, matrix in outcome.confusions.items()} == {
        "val": 37,
        "test": 41,
    }
    assert [len(history) for history in events.histories] == list(range(1, 26))


def test_val_and_test_figures_are_those_of_the_served_float32_model(monkeypatch):
    gru = "model.cell=gru"  # oneDNN has no LSTM in bfloat16 for older CPUs
    exact = trained(gru)
    monkeypatch.setattr("rnnlane.training.step.uses_bfloat16", lambda *_: True)
    outcome = trained(gru)
    assert not same_weights(outcome, exact)
    served = build_model(
        tiny_experiment(gru).model, vocabulary_size=30, num_classes=2, seed=0
    ).eval()
    served.load_state_dict(outcome.weights)
    best = outcome.history[outcome.best_epoch - 1]
    with loop.cpu_settings(ALONE):
        for split in ("val", "test"):
            scores = score(served, tiny_data().splits[split], group=ALONE)
            for key, value in summarize(scores, num_classes=2).items():
                assert best[f"{split}/{key}"] == value


def test_clipped_fraction_counts_the_steps_above_the_clip_value():
    typical = float(np.median(trained("training.epochs=1").norms))
    outcome = trained(f"training.clip.max_norm={typical}", "training.epochs=1")
    expected = (outcome.norms > typical).mean()
    assert 0 < expected < 1
    assert outcome.history[0]["grad_norm/clipped_fraction"] == pytest.approx(expected)


def test_non_finite_steps_are_skipped_counted_and_fail_when_too_many(monkeypatch):
    step = Stepper._forward_backward
    calls = []

    def sometimes_nan(self, inputs, gradient):
        step(self, inputs, gradient)
        calls.append(1)
        if len(calls) in {2, 3, 7}:
            gradient.counters[0] = math.nan

    monkeypatch.setattr(Stepper, "_forward_backward", sometimes_nan)
    outcome = trained("training.epochs=1")
    assert outcome.history[0]["grad_norm/nonfinite_steps"] == 3
    assert math.isfinite(outcome.history[0]["train/loss"])
    calls.clear()
    with pytest.raises(TrainingError, match="2 steps in a row"):
        trained("training.epochs=1", "training.max_nonfinite_steps=2")


def test_early_stopping_ends_a_run_that_does_not_improve():
    outcome = trained(
        "training.epochs=30", "training.learning_rate=1e-9", "training.early_stopping=2"
    )
    assert len(outcome.history) == 3
    assert outcome.best_epoch == 1


def test_many_classes_have_no_roc_auc_and_refuse_it_as_the_metric():
    outcome = trained("training.epochs=1", num_classes=5)
    assert "val/roc_auc" not in outcome.history[0]
    assert outcome.confusions["test"].shape == (5, 5)
    with pytest.raises(TrainingError, match="val/roc_auc"):
        trained("training.epochs=1", "training.metric=val/roc_auc", num_classes=5)


def test_progress_is_reported_within_an_epoch(monkeypatch):
    monkeypatch.setattr(monitor, "PROGRESS_EVERY_S", 0.0)
    events = Remembered()
    trained("training.epochs=2", events=events)
    assert [progress.done for progress in events.reported] == [*range(1, 10), *range(1, 10)]
    assert events.reported[0].total == 9
    assert events.reported[-1].left_s == 0
    assert all(0 <= progress.accuracy <= 1 for progress in events.reported)


def test_pretrained_vectors_are_where_the_embedding_starts():
    config, data = tiny_experiment("training.epochs=1", "training.learning_rate=1e-12"), tiny_data()
    matrix = np.full((30, 6), 0.25, dtype=np.float32)
    has_vector = np.arange(30) % 2 == 1
    data = loop.TrainingData(data.splits, 2, 30, vectors=(matrix, has_vector))
    outcome = run_training(config, data, group=ALONE, events=Remembered())
    table = outcome.weights["embedding.weight"]
    torch.testing.assert_close(table[3], torch.full((6,), 0.25))
    assert not torch.allclose(table[4], torch.full((6,), 0.25))


def test_class_weights_of_one_change_no_bit_and_others_do():
    config, data = tiny_experiment(), replace(tiny_data(), class_names=("even", "odd"))
    runs = {
        setting: run_training(
            tiny_experiment(f"training.class_weights={setting}"),
            data,
            group=ALONE,
            events=Remembered(),
        )
        for setting in ("none", "{even: 1, odd: 1.0}", "{odd: 3}")
    }
    assert config.training.class_weights == "none"
    assert same_weights(runs["none"], trained())
    assert same_weights(runs["none"], runs["{even: 1, odd: 1.0}"])
    assert not same_weights(runs["none"], runs["{odd: 3}"])
