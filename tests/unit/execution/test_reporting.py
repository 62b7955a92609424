"""What a run says of its own model: temperature, verdict, report."""

import numpy as np
import pytest

from rnnlane.execution import baseline, reporting, run
from rnnlane.execution.baseline import execute_baseline
from rnnlane.execution.reporting import linear_scores
from rnnlane.execution.run import execute_run
from rnnlane.execution.run_record import RunRecord
from rnnlane.inference.calibration import fit_temperature, tempered
from rnnlane.inference.predictor import Predictor
from rnnlane.records.events import RunEvents
from rnnlane.reports import artifacts
from support.pages import checked_page
from support.tiny import tiny_data, tiny_experiment
from support.tracked import IDENTITY, RememberedTracker, tiny_prepared


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("RNNLANE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def execute(home):
    def execute(*overrides, verb=execute_run, module=run):
        tracker, record = RememberedTracker(), RunRecord.create("tiny", **IDENTITY)
        with pytest.MonkeyPatch.context() as patch, record.locked() as current:
            patch.setattr(module, "start_run", tracker.start)
            config, prepared = tiny_experiment(*overrides), tiny_prepared()
            return verb(config, prepared, record=current, events=RunEvents()), tracker

    return execute


@pytest.fixture(scope="module")
def plain(execute):
    return execute()


def page_of(result):
    with open(result.report, encoding="utf-8") as file:
        return file.read()


def test_a_run_has_a_report_at_the_root_of_its_files(plain):
    result, tracker = plain
    drawn = {"figures/calibration.png", "tables/test_calibration.csv"}
    assert {"report.html", *drawn} <= tracker.files
    page = page_of(result)
    links = [link for link in page.split('"') if link.startswith("data:image/png")]
    checked_page(page, links=links)
    assert len(links) >= 4
    # The texts of the data, and a linear model fitted for the report.
    assert "text of val 9223372036854" in page
    assert "the linear model (fitted for this report)" in page


def test_a_baseline_has_one_too_and_the_next_report_shows_it(execute, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    result, tracker = execute(verb=execute_baseline, module=baseline)
    assert tracker.tags["rnnlane.temperature"] == "1"
    assert "Linear baseline" in page_of(result)
    assert "What simpler models get" in page_of(result)
    scores = linear_scores(tiny_experiment(), tiny_prepared(), {})
    assert scores.metrics == result.metrics
    assert scores.origin == f"run {result.run_id[:8]}"
    assert scores.kind == "naive Bayes log-ratios and logistic regression"
    # Another weighting is another baseline.
    monkeypatch.setattr(reporting, "MAX_TOKENS", 10)
    assert (
        linear_scores(
            tiny_experiment("baseline.weighting=tfidf"), tiny_prepared(), tiny_data().splits
        )
        is None
    )


def test_a_run_outlives_pictures_and_a_report_that_cannot_be_made(execute, monkeypatch, caplog):
    def fail(*_args, **_settings):
        raise ValueError("no such font")

    for module, drawing in [(artifacts, "save_curves"), (artifacts, "save_confusion")]:
        monkeypatch.setattr(module, drawing, fail)
    monkeypatch.setattr(reporting, "write_report", fail)
    result, tracker = execute()
    assert tracker.status == "FINISHED"
    assert result.report == ""
    assert {"results.json", "predictions/test.parquet"} <= tracker.files
    assert not {"report.html", "figures/curves.png"} & tracker.files
    for what in ("report.html", "the picture of the epochs"):
        reason = "because it cannot be made: ValueError: no such font"
        assert f"{what} is left out, {reason}" in caplog.text


def test_no_linear_model_is_fitted_where_that_takes_long(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    monkeypatch.setattr(reporting, "MAX_TOKENS", 10)
    assert linear_scores(tiny_experiment(), tiny_prepared(), tiny_data().splits) is None


@pytest.mark.parametrize("setting", ["fit", "3"])
def test_the_temperature_is_that_of_the_setting_and_of_all_that_is_logged(execute, plain, setting):
    before, untempered = plain
    assert before.temperature == Predictor.load(untempered.bundle).temperature == 1.0
    result, tracker = execute(f"inference.temperature={setting}")
    raw = untempered.predictions["val"]
    fitted = fit_temperature(np.log(raw.probabilities), raw.labels)
    assert result.temperature == pytest.approx(fitted if setting == "fit" else 3.0)
    assert Predictor.load(tracker.bundle).temperature == result.temperature
    assert tracker.tags["rnnlane.temperature"] == f"{result.temperature:.6g}"
    for split, kept in tracker.predictions.items():
        wanted = tempered(untempered.predictions[split], result.temperature)
        np.testing.assert_allclose(kept.probabilities, wanted.probabilities, rtol=1e-6)
        assert kept.predicted.tolist() == untempered.predictions[split].predicted.tolist()
    assert f"{fitted:.3f}" in page_of(result)
    assert result.metrics["best"]["test/loss"] == before.metrics["best"]["test/loss"]


def test_a_run_no_better_than_the_majority_says_so(execute):
    result, _ = execute("training.epochs=1", "training.learning_rate=1e-9")
    assert result.verdict.startswith("no better than always answering ")
    assert "Do not use this model." in page_of(result)
