"""One training run in this process, with MLflow replaced."""

import itertools
from functools import partial

import numpy as np
import pytest

from rnnlane.errors import ConfigError, DataError, TrainingError
from rnnlane.execution import run
from rnnlane.execution.run import execute_run, training_data
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.evaluation import evaluate_split
from rnnlane.inference.predictor import Predictor
from rnnlane.records.refit import is_refit
from rnnlane.tracking.history import HistoryLog
from rnnlane.training import loop
from rnnlane.training.checkpoint import Checkpointer
from rnnlane.training.metrics import score
from support.events import Remembered
from support.runs import ALONE
from support.tiny import tiny_data, tiny_experiment
from support.tracked import IDENTITY, RememberedTracker, keys_of, tiny_prepared


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    tracker = RememberedTracker()
    monkeypatch.setattr(run, "start_run", tracker.start)
    return tracker


def execute(events, *overrides, record=None):
    record = record or RunRecord.create("tiny", **IDENTITY)
    with record.locked() as current:
        return execute_run(
            tiny_experiment(*overrides), tiny_prepared(), record=current, events=events
        )


def test_a_run_logs_its_epochs_files_and_model(tracker):
    events = Remembered()
    result = execute(events)
    assert [entry["epoch"] for entry in tracker.history] == [1.0, 2.0]
    assert tracker.history[0] == events.histories[-1][0]
    assert {"experiment.yaml", "vocabulary.jsonl", "results.json"} <= tracker.files
    assert {"tables/val_classes.csv", "tables/test_confused.csv"} <= tracker.files
    assert [one["rows"] for one in result.classes] == [20, 21]
    assert {"predictions/val.parquet", "predictions/test.parquet"} <= tracker.files
    assert [(one.name, one.digest, one.context) for one in tracker.datasets] == [
        (f"tiny-{split}", "d", split) for split in ("train", "val", "test")
    ]
    assert tracker.best_epoch == result.best_epoch
    assert tracker.status == "FINISHED"
    assert tracker.tags["rnnlane.best_epoch"] == str(result.best_epoch)
    assert Predictor.load(tracker.bundle).class_names == ("bad", "good")
    assert result.is_tracked
    assert result.tracking_uri == "http://***@host"


class Killed(Remembered):
    """Ends the driver after some epochs."""

    def __init__(self, *, after):
        super().__init__()
        self._after = after

    def epoch(self, history):
        super().epoch(history)
        if len(history) == self._after:
            raise KeyboardInterrupt


def test_an_epoch_that_is_trained_again_is_logged_once_with_its_last_values(tracker, monkeypatch):
    log, logged = HistoryLog(), []
    monkeypatch.setattr(tracker, "log_history", lambda *args: logged.extend(log.new_records(*args)))
    # A second a step, and a second a checkpoint: they follow one another by at least 20 steps.
    clock = itertools.count().__next__
    monkeypatch.setattr(loop, "Checkpointer", partial(Checkpointer, clock=clock))
    record, killed, rest = RunRecord.create("tiny", **IDENTITY), Killed(after=3), Remembered()
    with pytest.raises(KeyboardInterrupt):
        execute(killed, "training.epochs=5", record=record)
    execute(rest, "training.epochs=5", record=record)
    assert [len(history) for history in killed.histories] == [1, 2, 3]
    assert [len(history) for history in rest.histories] == [1, 2, 3, 4, 5]
    assert killed.histories[-1][1:] != rest.histories[-1][1:3], "times differ"
    metrics = [content for kind, content in logged if kind == "metrics"]
    by_epoch = [(content["step"], content["values"]) for content in metrics if content["step"]]
    assert [step for step, _ in by_epoch] == [1, 2, 3, 4, 5]
    for (_, values), ended in zip(by_epoch, rest.histories[-1], strict=True):
        assert values == {key: value for key, value in ended.items() if key in values}
        assert "time/epoch_s" in values


class KilledInRefit(Remembered):
    """Ends the driver after the first epoch of the refit."""

    def epoch(self, history):
        super().epoch(history)
        if is_refit(history[-1]):
            raise KeyboardInterrupt


def test_a_refit_is_logged_served_and_continued_and_val_keeps_the_best_epochs_answers(tracker):
    settings = ("training.epochs=3", "training.learning_rate=0.05", "model.head_dropout=0.2")
    settings = (*settings, "inference.temperature=fit")
    plain = execute(Remembered(), *settings)
    val = tracker.predictions["val"]
    whole = execute(Remembered(), *settings, "training.refit=true")
    bundle, files = tracker.bundle, tracker.predictions
    assert plain.best_epoch == whole.best_epoch == 3
    assert whole.refit["train/loss"] == tracker.history[-1]["refit/train/loss"]
    epochs = [entry.get("refit/epoch") for entry in tracker.history]
    assert epochs == [None, None, None, 1.0, 2.0, 3.0]
    assert tracker.best_epoch == 3
    np.testing.assert_array_equal(files["val"].probabilities, val.probabilities)
    assert whole.temperature == plain.temperature != 1.0
    best = whole.metrics["best"]
    assert best["val/loss"] == plain.metrics["best"]["val/loss"]
    served, test = Predictor.load(bundle), tiny_data().splits["test"]
    scores = score(served.logits, test, group=ALONE, temperature=whole.temperature)
    np.testing.assert_allclose(files["test"].probabilities[:, 1], scores.last_class, rtol=1e-4)
    assert best["test/accuracy"] == files["test"].is_right.mean()
    assert best["test/loss"] != plain.metrics["best"]["test/loss"]
    assert any("the val figures are those of epoch 3 before" in note for note in whole.notes)

    record = RunRecord.create("tiny", **IDENTITY)
    settings = (*settings, "training.refit=true")
    with pytest.raises(KeyboardInterrupt):
        execute(KilledInRefit(), *settings, record=record)
    rest = Remembered()
    resumed = execute(rest, *settings, record=record)
    assert len(rest.histories[0]) >= 4, "the first training was not repeated"
    assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]
    np.testing.assert_array_equal(
        tracker.predictions["test"].probabilities, files["test"].probabilities
    )


def test_a_model_with_ngrams_is_served_as_it_was_tested(tracker):
    settings = ("model.ngrams={bits: 8}", "training.ema=0.5")
    result = execute(Remembered(), *settings, "training.refit=true")
    served, test = Predictor.load(tracker.bundle), tiny_data().splits["test"]
    found = served.predict_rows(test).probabilities
    np.testing.assert_allclose(found, tracker.predictions["test"].probabilities, atol=1e-6)
    evaluated = evaluate_split("run0", "test", test, served)
    assert evaluated.metrics["accuracy"] == result.metrics["best"]["test/accuracy"]
    assert evaluated.metrics["loss"] == pytest.approx(result.metrics["best"]["test/loss"])
    explained = served.explain("w01 w02 new")
    assert explained.base + sum(explained.shares) == pytest.approx(explained.log_odds, abs=0.02)


def test_ngrams_of_too_many_buckets_are_refused_before_anything_starts(tracker):
    prepared = tiny_prepared()
    prepared.class_names = ("a", "b", "c")
    with pytest.raises(ConfigError, match=r"2\*\*26 buckets of 3 classes take 4.0 GB"):
        training_data(tiny_experiment("model.ngrams.bits=26"), prepared)


def test_a_run_of_a_search_s_winner_is_linked_with_the_search(tracker):
    execute(Remembered())
    assert tracker.search_run_id is None
    execute(Remembered(), "tracking.tags={rnnlane.search_run: abc}")
    assert tracker.search_run_id == "abc"


def test_the_metrics_of_the_last_and_the_best_epoch_have_the_test_s(tracker):
    metrics = execute(Remembered(), "training.epochs=3").metrics
    best, last = metrics["best"], metrics["last"]
    assert last["epoch"] == 3.0
    assert best["val/accuracy"] == max(entry["val/accuracy"] for entry in tracker.history)
    assert best["test/accuracy"] == last["test/accuracy"] == metrics["test/accuracy"]


def test_the_predictions_kept_are_those_that_the_metrics_were_computed_from(tracker):
    result = execute(Remembered(), "training.epochs=6", "training.learning_rate=0.1")
    assert result.best_epoch < result.epochs
    best = result.metrics["best"]
    served = Predictor.load(tracker.bundle)
    for name in ("val", "test"):
        kept, split = tracker.predictions[name], tiny_data().splits[name]
        assert kept.class_names == ("bad", "good")
        assert kept.row_keys.tolist() == keys_of(split).tolist()
        assert kept.labels.tolist() == split.labels.tolist()
        assert best[f"{name}/accuracy"] == kept.is_right.mean()
        assert best[f"{name}/loss"] == pytest.approx(-np.log(kept.of_truth).mean(), rel=1e-6)
        scores = score(served.logits, split, group=ALONE)
        np.testing.assert_array_equal(kept.probabilities[:, 1], scores.last_class)


def test_a_run_that_diverges_after_its_best_epoch_says_so(tracker, monkeypatch):
    train = run.train_in_process

    def diverged(*arguments, **options):
        outcome = train(*arguments, **options)
        outcome.history.append({**outcome.history[-1], "epoch": 3.0, "train/loss": 9.0})
        return outcome

    monkeypatch.setattr(run, "train_in_process", diverged)
    note = "training diverged in epoch 3 (train loss 9; a uniform guess has 0.6931)"
    result = execute(Remembered())
    assert f"{note}; the model is that of epoch {result.best_epoch}" in result.notes


def test_a_run_that_raises_has_failed(tracker, monkeypatch):
    def train(*_arguments, **_options):
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(run, "train_in_process", train)
    with pytest.raises(TrainingError):
        execute(Remembered())
    assert tracker.status == "FAILED: the loss is not finite"
    assert tracker.bundle is None


def test_a_search_reads_only_the_splits_that_it_uses():
    data = training_data(tiny_experiment(), tiny_prepared(), splits=("train", "val"))
    assert set(data.splits) == {"train", "val"}
    assert (data.num_classes, data.vectors) == (2, None)
    assert not data.row_keys


def vectors(tmp_path, *words):
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} 1 2 3 4 5 6\n" for word in words))
    return f"model.pretrained_vectors={path}"


def test_the_share_of_words_with_a_vector_is_told_and_logged(tracker, tmp_path):
    events = Remembered()
    execute(events, vectors(tmp_path, *(f"w{number:02d}" for number in range(7))))
    assert (
        "7 of 28 words have a pretrained vector, 25.0% of their occurrences in train"
        in events.notes
    )
    assert tracker.spec.params["model.matched_vector_share"] == 0.25


def test_vectors_that_hardly_any_word_has_start_no_run(tracker, tmp_path):
    with pytest.raises(DataError, match=r"but only 0\.0% have \(0 of 28 words"):
        execute(Remembered(), vectors(tmp_path, "x"))
    assert tracker.spec is None
