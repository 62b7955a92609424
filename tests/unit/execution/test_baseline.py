"""The baseline on tiny data, with MLflow replaced."""

import json

import numpy as np
import pytest

from rnnlane.errors import DataError
from rnnlane.execution import baseline
from rnnlane.execution.baseline import execute_baseline
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.predictor import Predictor
from rnnlane.records.events import RunEvents
from support.tiny import tiny_experiment
from support.tracked import IDENTITY, RememberedTracker, tiny_prepared


def execute(monkeypatch, tmp_path, tracker, *overrides):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    monkeypatch.setattr(baseline, "start_run", tracker.start)
    record = RunRecord.create("tiny", **IDENTITY)
    with record.locked() as current:
        return execute_baseline(
            tiny_experiment(*overrides), tiny_prepared(), record=current, events=RunEvents()
        )


def test_a_baseline_is_fitted_scored_and_logged(monkeypatch, tmp_path):
    tracker = RememberedTracker()
    result = execute(monkeypatch, tmp_path, tracker)
    [entry] = tracker.history
    assert {"train/accuracy", "val/accuracy", "test/accuracy", "time/fit_s"} <= entry.keys()
    assert {name: entry[name] for name in result.metrics} == result.metrics
    assert tracker.tags == {
        "rnnlane.model": "linear",
        "rnnlane.weighting": "nb",
        "rnnlane.num_ngrams": str(result.num_ngrams),
        "rnnlane.temperature": "1",
    }
    assert {"experiment.yaml", "results.json", "figures/confusion.png"} <= tracker.files
    assert {"tables/val_classes.csv", "tables/test_confused.csv"} <= tracker.files
    assert [one["rows"] for one in result.classes] == [20, 21]
    for name, kept in tracker.predictions.items():
        assert result.metrics[f"{name}/accuracy"] == kept.is_right.mean()
        assert len(kept) == {"val": 37, "test": 41}[name]
    assert len(tracker.predictions) == 2
    assert tracker.status == "FINISHED"


def test_params_are_those_that_the_baseline_depends_on(monkeypatch, tmp_path):
    tracker = RememberedTracker()
    execute(monkeypatch, tmp_path, tracker)
    sections = {key.partition(".")[0] for key in tracker.spec.params}
    assert {"data", "text", "baseline", "seed"} <= sections
    assert not sections & {"model", "training", "runtime", "search"}


def test_the_logged_model_gives_the_sample_s_prediction(monkeypatch, tmp_path):
    tracker = RememberedTracker()
    result = execute(monkeypatch, tmp_path, tracker, "sample_text=w01 w02")
    [row] = Predictor.load(tracker.bundle).probabilities([result.sample["text"]])
    assert list(result.sample["probabilities"].values()) == pytest.approx(row.tolist())
    record = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert record["result"] == json.loads(json.dumps(result.as_dict()))


def test_a_refit_answers_test_and_leaves_what_is_said_of_val(monkeypatch, tmp_path):
    first, refitted = RememberedTracker(), RememberedTracker()
    before = execute(monkeypatch, tmp_path, first)
    fitted_on = []
    fit_on = baseline.fit_on
    monkeypatch.setattr(
        baseline, "fit_on", lambda rows, *args: fitted_on.append(len(rows)) or fit_on(rows, *args)
    )
    after = execute(monkeypatch, tmp_path, refitted, "baseline.refit=true")
    assert fitted_on == [101, 101 + 37]
    for name, value in before.metrics.items():
        is_same = after.metrics[name] == value
        assert is_same != name.startswith("test/") or name == "test/accuracy", name
    np.testing.assert_array_equal(
        refitted.predictions["val"].probabilities, first.predictions["val"].probabilities
    )
    assert refitted.spec.params["baseline.refit"] is True
    texts = [" ".join(f"w{n:02d}" for n in range(5))]
    answers = [Predictor.load(one.bundle).probabilities(texts) for one in (first, refitted)]
    assert (answers[0] != answers[1]).any(), "the model that is served"
    kept = refitted.predictions["test"]
    assert after.metrics["test/accuracy"] == kept.is_right.mean()
    right = sum(one["rows"] * one["recall"] for one in after.classes)
    assert right == pytest.approx(41 * after.metrics["test/accuracy"])
    reports = [file.read_text() for file in tmp_path.glob("runs/*/results/report.html")]
    assert sum("before the refit" in report for report in reports) == 1


def test_damaged_data_is_told_of_before_there_is_a_run(monkeypatch, tmp_path):
    def damaged(_):
        raise DataError("the prepared data is damaged")

    monkeypatch.setattr(baseline.FileSplit, "pieces", damaged)
    tracker = RememberedTracker()
    with pytest.raises(DataError):
        execute(monkeypatch, tmp_path, tracker)
    assert tracker.spec is None


def test_what_an_unreachable_store_lacks_is_in_the_result(monkeypatch, tmp_path):
    assert not execute(monkeypatch, tmp_path, RememberedTracker(is_away=True)).is_tracked
