from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from rnnlane.inference.calibration import TemperatureChoice, at_temperature, reliability, tempered
from rnnlane.reports.figures import save_calibration
from rnnlane.reports.run_facts import Mistake, RunFacts, most_confident_mistakes
from rnnlane.reports.run_report import findings, run_report_html
from support.pages import checked_page
from support.run_facts import epoch, manifest, predictions, run_facts, split_stats

NOT_FITTED = TemperatureChoice()
EVIL = "<script>alert('&')</script>\x1b[31m"


def said(facts: RunFacts, part: str) -> str:
    return " ".join(findings(facts)[part])


def test_the_result_has_an_interval_of_chance() -> None:
    made = run_facts(metrics={"val/accuracy": 0.9, "test/accuracy": 0.8, "test/macro_f1": 0.8})
    text = said(made, "result")
    interval = binomtest(640, 800).proportion_ci(method="wilson")
    assert "80.0% of 800 test rows are classified correctly" in text
    assert f"{interval.low:.1%} to {interval.high:.1%} would be" in text
    assert "Test is clearly lower than val" in text
    assert "clearly lower" not in said(run_facts(), "result")


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ([epoch(1, 0.6, 0.5), epoch(2, 0.2, 0.8)], "overfits after epoch 1: val loss 0.5000"),
        ([epoch(1, 0.6, 0.5), epoch(2, 9.0, 8.0)], "Training diverged in epoch 2 (train loss 9"),
        ([epoch(1, 0.6, 0.5)] * 2, "Training stopped before epoch 3, as val/accuracy did not"),
        ([{**epoch(1, 0.6, 0.5), "grad_norm/nonfinite_steps": 2.0}] * 3, "6 steps had no finite"),
    ],
)
def test_what_happened_in_training_is_said(history: list[Any], sentence: str) -> None:
    made = run_facts("training.early_stopping=1", history=history, best_epoch=1)
    assert sentence in said(made, "training")


def test_what_the_losses_and_weights_are_is_said() -> None:
    text = said(run_facts("training.label_smoothing=0.1", "training.ema=0.99"), "training")
    assert "labels smoothed by 0.1" in text
    assert "moving average (training.ema 0.99)" in text
    plain = said(run_facts(), "training")
    assert "smoothed" not in plain
    assert "average" not in plain


def test_of_a_refit_it_is_told_which_figures_are_whose() -> None:
    setting = "inference.temperature=fit"
    refit = [{**epoch(1, 0.6, 0.5), "time/epoch_s": 100.0}, epoch(2, 0.25, 0.5)]
    made, plain = run_facts(setting, refit=refit), run_facts(setting)
    told = {part: " ".join(sentences) for part, sentences in findings(made).items()}
    assert "before the refit" in told["result"]
    assert "Epoch 2 of 3 was the best by val/accuracy" in told["training"]
    assert "again from the initial weights, on train and val, for 2 epochs" in told["training"]
    assert "loss 0.2500 on both" in told["training"]
    assert "The model is that of epoch" not in told["training"]
    assert "the linear model on train alone" in told["comparison"]
    assert "is carried over to the model" in told["calibration"]
    assert "before the refit" in told["mistakes"]
    assert "which the model has trained on" in told["sample"]
    assert "1.8 min" in run_report_html(made, []) or "108 s" in run_report_html(made, [])
    assert "refit" not in run_report_html(plain, []).replace("refit: false", "")
    diverged = run_facts(refit=[epoch(1, 9.0, 0.5)])
    assert "In the refit, training diverged in epoch 1" in said(diverged, "training")


def test_simpler_models_are_compared_with() -> None:
    made = run_facts()
    assert "have one test accuracy" in said(made, "comparison")
    page = run_report_html(made, [])
    row = r"<td>always bad</td><td>0\.5012</td><td>0\.4900</td><td>0\.3289</td>"
    assert re.search(row, page)
    # 1.7 standard errors of a difference, 2.6 of one accuracy.
    close = {**made.metrics, "test/accuracy": made.metrics["test/accuracy"] + 0.025}
    assert "0.0250 ahead of" in said(run_facts(metrics=close), "comparison")
    assert "which is little for that" in said(run_facts(metrics=close), "comparison")
    ahead = {**made.metrics, "test/accuracy": made.metrics["test/accuracy"] + 0.09}
    assert "0.0900 ahead of the linear model (run 0a1b2c3d), more than" in said(
        run_facts(metrics=ahead), "comparison"
    )
    assert "`rnnlane baseline` with this" in said(run_facts(linear=None), "comparison")


@pytest.mark.parametrize(
    ("setting", "used", "sentence"),
    [
        ("null", 1.0, "As it is, the model is too certain: with a temperature of 4"),
        ("fit", 2.5, "Its temperature is 2.500, fitted on val"),
        ("3", 3.0, "Its temperature is 3, as given: with 1 the error would be"),
    ],
)
def test_calibration_is_told_before_and_after(setting: str, used: float, sentence: str) -> None:
    fitted = run_facts().temperature.fitted
    choice = TemperatureChoice(used, fitted)
    made = run_facts(f"inference.temperature={setting}", temperature=choice)
    text = said(made, "calibration")
    assert sentence in text
    of_test = made.predictions["test"]
    for temperature in (1.0, used):
        probabilities = at_temperature(np.log(of_test.probabilities), temperature)
        bins = reliability(probabilities, of_test.labels)
        error = sum(b.num_rows * abs(b.accuracy - b.confidence) for b in bins) / 800
        assert f"{error:.1%}" in text
    assert "A temperature would not help: with 1.001," in said(
        run_facts(temperature=TemperatureChoice(1.0, 1.001)), "calibration"
    )
    assert "No temperature can be fitted" in said(run_facts(temperature=NOT_FITTED), "calibration")


def test_the_most_confident_mistakes_come_first() -> None:
    made = predictions(("a", "b", "c"), 300)
    rows = most_confident_mistakes(made)
    confidence = made.probabilities.max(axis=1)
    assert len(rows) == 10
    assert not made.is_right[rows].any()
    assert confidence[rows].tolist() == sorted(confidence[~made.is_right])[::-1][:10]
    assert len(most_confident_mistakes(made.take(np.flatnonzero(made.is_right)))) == 0


def test_a_temperature_changes_no_label_of_predictions() -> None:
    made = predictions(("a", "b", "c"), 300)
    made.probabilities[0] = [0.4, np.nextafter(np.float32(0.4), np.float32(1)), 0.2]
    made.probabilities[1] = [0.0, 1.0, 0.0]
    for temperature in (0.01, 0.5, 1.0, 100.0):
        changed = tempered(made, temperature)
        assert changed.predicted.tolist() == made.predicted.tolist()
        assert np.isfinite(changed.probabilities).all()


def test_a_run_that_learned_nothing_says_so_first_and_shows_off_no_sample(tmp_path: Path) -> None:
    majority = np.array([[0, 392], [0, 408]])
    made = run_facts(confusions={"val": majority, "test": majority})
    page = run_report_html(made, [])
    verdict = page.index("Do not use this model.")
    assert verdict < page.index("<h2>The result</h2>")
    assert "The sample text" not in page
    assert "The sample text" in run_report_html(run_facts(), [])


def test_many_classes_have_their_worst_and_the_confused_pairs(tmp_path: Path) -> None:
    names = tuple(f"class {i:02d}" for i in range(40))
    (picture := tmp_path / "confusion.png").write_bytes(b"\x89PNG")
    page = run_report_html(run_facts(names=names), [picture])
    assert "The 20 most frequent of 40 classes." in page
    assert "The 10 of 40 classes with the lowest F1 on test." in page
    assert "What is most often taken for what" in page
    assert "data:image/png" not in page
    few = run_report_html(run_facts(names=names[:3]), [picture])
    assert "data:image/png" in few
    assert "lowest F1" not in few


def test_page_is_well_formed_escaped_and_needs_no_other_file(tmp_path: Path) -> None:
    (picture := tmp_path / "curves.png").write_bytes(b"\x89PNG")
    made = run_facts(
        f"description={EVIL!r}",
        names=(EVIL, "good", "so so"),
        mistakes=[Mistake(EVIL, EVIL, "good", 0.9)],
        sample={"text": EVIL, "label": EVIL, "probabilities": {EVIL: 0.9}},
        clip={"max_norm": 1.0, "reason": EVIL, "clipped_fraction": 0.5},
    )
    page = run_report_html(made, [picture])
    assert page.count("&lt;script&gt;") >= 8
    assert "\x1b" not in page
    checked_page(page, links=["data:image/png;base64,iVBORw=="])


WITH_UNLABELED = manifest().model_copy(
    update={"splits": {**manifest().splits, "unlabeled": split_stats([], (), num_rows=9)}}
)


@pytest.mark.parametrize(
    "changes",
    [
        {"history": [], "clip": {}, "linear": None, "sample": None, "mistakes": []},
        {"history": [epoch(1, math.nan, math.nan)], "best_epoch": 1, "temperature": NOT_FITTED},
        {"linear": None, "sample": None, "mistakes": []},
        {"manifest": WITH_UNLABELED},
    ],
    ids=["baseline", "not finite", "bare", "texts without labels"],
)
def test_any_run_has_a_report(changes: dict[str, Any]) -> None:
    page = run_report_html(run_facts(**changes), [])
    checked_page(page, links=[])
    assert "<h2>What to try next</h2>" in page


def test_answers_that_are_no_numbers_have_a_report() -> None:
    broken = predictions(("bad", "good"), 800)
    broken.probabilities[:] = np.nan
    made = run_facts(predictions={"val": broken, "test": broken}, temperature=NOT_FITTED)
    assert findings(made)["calibration"] == []
    checked_page(run_report_html(made, []), links=[])


def test_calibration_is_drawn(tmp_path: Path) -> None:
    of_test = run_facts().predictions["test"]
    bins = reliability(of_test.probabilities, of_test.labels)
    for curves in ({"it": bins}, {"it": bins, "at 2": bins[:1]}, {"it": []}):
        save_calibration(curves, tmp_path / "calibration.png")
        assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
