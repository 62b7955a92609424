"""An ensemble of tiny runs, with MLflow replaced."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from rnnlane.errors import ConfigError
from rnnlane.execution import baseline, ensemble, run
from rnnlane.execution.baseline import execute_baseline
from rnnlane.execution.ensemble import Members, execute_ensemble, read_members
from rnnlane.execution.run import execute_run
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.ensemble import load_bundled
from rnnlane.inference.pool import fit_weights
from rnnlane.records.events import RunEvents
from rnnlane.records.refit import is_refitted
from support.compared import predictions_of, summary_of
from support.tiny import tiny_data, tiny_experiment
from support.tracked import IDENTITY, RememberedTracker, tiny_prepared


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("RNNLANE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def trackers(home):
    """Of a recurrent model and of a linear one."""
    trackers = []
    for verb, module in [(execute_run, run), (execute_baseline, baseline)]:
        tracker, record = RememberedTracker(), RunRecord.create("tiny", **IDENTITY)
        with pytest.MonkeyPatch.context() as patch, record.locked() as current:
            patch.setattr(module, "start_run", tracker.start)
            config = tiny_experiment("baseline.hash_bits=16")
            verb(config, tiny_prepared(), record=current, events=RunEvents())
        trackers.append(tracker)
    return trackers


RUNS = [
    summary_of("rnn", **{"rnnlane.data_fingerprint": "d"}),
    summary_of("linear", **{"rnnlane.model": "linear"}),
]


@pytest.fixture
def execute(home, trackers, monkeypatch):
    def execute(weighting):
        members = Members(
            uri="sqlite:///x.db",
            runs=RUNS,
            predictions={
                split: [tracker.predictions[split] for tracker in trackers]
                for split in ("val", "test")
            },
            config=tiny_experiment(),
            prepared=tiny_prepared(),
        )
        bundles = {one.run_id: tracker.bundle for one, tracker in zip(RUNS, trackers, strict=True)}
        monkeypatch.setattr(ensemble, "download_model", lambda _uri, run_id, _to: bundles[run_id])
        tracker, record = RememberedTracker(), RunRecord.create("tiny-ensemble", **IDENTITY)
        monkeypatch.setattr(ensemble, "start_run", tracker.start)
        config = tiny_experiment("sample_text=w01 w02")
        with record.locked() as current:
            settings = {"record": current, "events": RunEvents()}
            return execute_ensemble(members, config, weighting, **settings), tracker

    return execute


def test_the_mean_is_scored_served_and_logged(execute, trackers):
    result, tracker = execute("mean")
    assert [one["weight"] for one in result.members] == [0.5, 0.5]
    assert [one["model"] for one in result.members] == ["rnn", "linear"]
    first, second = (tracker.predictions["test"] for tracker in trackers)
    product = np.sqrt(first.probabilities.astype(float) * second.probabilities)
    expected = product / product.sum(axis=1, keepdims=True)
    right = expected.argmax(axis=1) == first.labels
    assert result.metrics["test/accuracy"] == right.mean()
    of_truth = expected[np.arange(len(right)), first.labels]
    assert result.metrics["test/loss"] == pytest.approx(-np.log(of_truth).mean(), rel=1e-5)
    assert result.members[1]["test/accuracy"] == second.is_right.mean()
    # What is kept is what the logged model answers.
    predictor = load_bundled(tracker.bundle)
    answer = predictor.predict_rows(tiny_data().splits["test"])
    kept = tracker.predictions["test"]
    np.testing.assert_allclose(answer.probabilities, kept.probabilities, atol=1e-5)
    assert kept.row_keys.tolist() == first.row_keys.tolist()
    assert result.temperature == predictor.temperature != 1.0
    assert tracker.status == "FINISHED"
    assert tracker.tags["rnnlane.model"] == "ensemble"
    assert tracker.spec.predictor == "rnnlane.inference:EnsemblePredictor"
    assert tracker.spec.params["ensemble.member_2"] == RUNS[1].run_id
    [entry] = tracker.history
    assert entry["members/2/test_accuracy"] == second.is_right.mean()
    assert {"experiment.yaml", "manifest.json", "results.json", "report.html"} <= tracker.files
    assert result.sample["text"] == "w01 w02"
    with open(result.report, encoding="utf-8") as file:
        page = file.read()
    assert "The members" in page
    assert "this ensemble" in page
    assert json.loads(json.dumps(result.as_dict()))["weighting"] == "mean"
    assert "2, weights by mean" in result._repr_html_()


@pytest.mark.parametrize("name", ["training.refit", "baseline.refit", "ensemble.refit"])
def test_a_refitted_member_makes_a_refitted_ensemble(execute, monkeypatch, name):
    def logged() -> dict[str, str]:
        _, tracker = execute("mean")
        return {key: str(value) for key, value in tracker.spec.params.items()}  # as MLflow does

    assert not is_refitted(logged())
    refitted = replace(RUNS[1], params={**RUNS[1].params, name: "True"})
    monkeypatch.setattr(sys.modules[__name__], "RUNS", [RUNS[0], refitted])
    assert is_refitted(logged())


def test_weights_of_val_are_those_of_the_least_log_loss(execute, trackers):
    result, _ = execute("val")
    of_val = [tracker.predictions["val"] for tracker in trackers]
    expected = fit_weights([one.probabilities for one in of_val], of_val[0].labels)
    assert [one["weight"] for one in result.members] == pytest.approx(expected.tolist())
    assert sum(expected) == pytest.approx(1.0)


def refused(monkeypatch, first, second):
    monkeypatch.setattr(ensemble, "find_runs_to_compare", lambda *_args, **_settings: RUNS)
    kept = dict(zip([one.run_id for one in RUNS], (first, second), strict=True))
    monkeypatch.setattr(ensemble, "read_predictions", lambda _uri, run, _split: kept[run.run_id])
    with pytest.raises(ConfigError) as error:
        read_members("sqlite:///x.db", ["rnn", "linear"])
    return error.value


def test_runs_that_do_not_answer_the_same_rows_and_classes_are_refused(monkeypatch):
    labels = np.zeros(50, dtype=np.int64)
    plain = predictions_of(labels, labels)
    classes = predictions_of(labels, labels, names=("bad", "fine"))
    error = refused(monkeypatch, plain, classes)
    assert "can be an ensemble if they have the same classes" in error.message
    assert error.remedy == "name runs of the same data and the same data.classes"
    assert error.where == "val of rnn (rnnrnnrn) and linear (linearli)"
    rows = predictions_of(labels, labels, keys=np.arange(5, 55, dtype=np.uint64))
    error = refused(monkeypatch, plain, rows)
    assert "of 50 and 50 rows they share 45" in error.message
    broken = replace(plain, probabilities=np.full_like(plain.probabilities, np.nan))
    error = refused(monkeypatch, plain, broken)
    assert error.message == "probabilities must be numbers, but the run has NaN on val"


def test_shared_rows_count_as_the_split_unless_a_run_keeps_a_sample():
    labels = np.zeros(50, dtype=np.int64)
    plain = predictions_of(labels, labels)
    shared = plain.take(np.arange(49))
    assert ensemble._whole(shared, [plain, plain]).num_split_rows == 49
    sample = replace(plain, num_split_rows=900)
    assert ensemble._whole(shared, [plain, sample]).num_split_rows == 50
