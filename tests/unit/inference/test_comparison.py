import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from rnnlane.errors import ConfigError
from rnnlane.inference.comparison import (
    compare_runs,
    different_settings,
    disagreements,
    on_shared_rows,
    side_by_side,
    verdict,
)
from rnnlane.inference.paired import paired_test
from support.compared import kept_run, predictions_of

LABELS = np.arange(400) % 2
FIRST = predictions_of(LABELS, LABELS)
# Wrong in 40 rows that the first has right.
WORSE = predictions_of(LABELS, np.where(np.arange(400) < 40, 1 - LABELS, LABELS))


def test_a_run_that_loses_many_rows_is_worse_and_its_opposite_better():
    assert verdict(paired_test(FIRST, WORSE)) == "worse"
    assert verdict(paired_test(WORSE, FIRST)) == "better"
    assert verdict(paired_test(FIRST, FIRST)) == "no difference shown"


def test_each_run_is_tested_against_the_first():
    runs = [kept_run("a", WORSE), kept_run("b", FIRST), kept_run("c", WORSE)]
    comparison = compare_runs(runs, split="test", num_texts=3)
    assert [run["name"] for run in comparison.runs] == ["a", "b", "c"]
    assert [test["verdict"] for test in comparison.tests] == ["better", "no difference shown"]
    assert [test["run_id"][0] for test in comparison.tests] == ["b", "c"]
    assert comparison.tests[0]["difference"] == pytest.approx(0.1)
    assert len(comparison.texts) == 3
    assert any(note.endswith("ask for p below 0.025") for note in comparison.notes)


def test_runs_of_other_rows_are_refused_by_name():
    other = predictions_of(LABELS, LABELS, keys=np.arange(400, 800, dtype=np.uint64))
    runs = [kept_run(name, of) for name, of in (("a", FIRST), ("b", WORSE), ("c", other))]
    with pytest.raises(ConfigError, match=r"^a \(a{8}\) and c \(c{8}\): .* they share 0;"):
        compare_runs(runs, split="test", num_texts=1)


def test_a_few_rows_that_one_run_lacks_are_told():
    fewer = WORSE.take(np.arange(397))
    runs = [kept_run("a", FIRST), kept_run("b", fewer)]
    comparison = compare_runs(runs, split="val", num_texts=400)
    assert comparison.tests[0]["num_rows"] == 397
    assert "on the 397 rows that both have; 3 that only one has" in comparison.notes[0]
    assert len(comparison.texts) == 40


def test_a_sample_and_other_code_are_told():
    sample = replace(FIRST, num_split_rows=9000)
    runs = [kept_run("a", sample), kept_run("b", sample, tags={"version.code": "x"})]
    notes = compare_runs(runs, split="test", num_texts=1).notes
    assert notes[0].startswith("compared on a sample of 400 of 9,000 rows")
    assert "the runs were made by different versions of rnnlane's code" in notes


def test_whose_answers_on_val_those_of_a_refitted_run_are_is_told():
    refitted = kept_run("b", WORSE, params={"training.refit": "True"})
    runs = [kept_run("a", FIRST, params={"training.refit": "False"}), refitted]
    (note,) = (n for n in compare_runs(runs, split="val", num_texts=1).notes if "refit" in n)
    assert note.startswith(f"the model of {refitted} is refitted on train and val; its answers")
    test = compare_runs(runs, split="test", num_texts=1)
    assert not any("refit" in note for note in test.notes)


def test_the_rows_of_all_runs_are_brought_into_one_order():
    # Each lacks other rows, 1% of them; together they lack more.
    parts = [FIRST.take(np.setdiff1d(np.arange(400), np.arange(4 * n, 4 * n + 4))) for n in (1, 2)]
    parts.append(FIRST.take(np.arange(400)[::-1]))
    shared = on_shared_rows(parts)
    expected = [*range(4), *range(12, 400)]
    assert all(one.row_keys.tolist() == expected for one in shared)
    assert all(one.labels.tolist() == LABELS[expected].tolist() for one in shared)


def test_the_texts_are_those_of_other_answers_the_most_confident_first():
    labels = [1, 1, 1, 1]
    first = predictions_of(labels, [1, 1, 1, 1], sure=[0.7, 0.9, 0.99, 0.55])
    second = predictions_of(labels, [0, 0, 1, 0], sure=[0.95, 0.6, 0.51, 0.55])
    found = disagreements([first, second], limit=3)
    # The third row moved from 0.99 to 0.51, but both answer alike.
    assert [row.row_key for row in found] == [0, 1, 3]
    assert (found[0].label, found[0].labels) == ("good", ("good", "bad"))
    assert found[0].of_truth == pytest.approx((0.7, 0.05))
    assert disagreements([first, first], limit=3) == []


def test_a_diverged_run_disagrees_too():
    broken = replace(FIRST, probabilities=np.full((400, 2), np.nan, dtype=np.float32))
    found = disagreements([FIRST, broken], limit=500)
    assert len(found) == 200
    assert found[0].labels == ("good", "bad")


def test_settings_that_differ():
    first = {"name": "a", "model.cell": "lstm", "text.max_length": "9", "seed": "0"}
    second = {"name": "b", "model.cell": "lstm", "text.max_length": "8", "seed": "0"}
    first["clip/calibration_norm_mean"], second["clip/calibration_norm_mean"] = "1.5", "1.6"
    assert different_settings([first, second]) == {"text.max_length": ["9", "8"]}
    second |= {"model.cell": "gru", "model.share": "0.5"}
    baseline = {"name": "c", "text.max_length": "8", "seed": "0", "baseline.c": "1"}
    assert different_settings([first, second, baseline]) == {
        "model.cell": ["lstm", "gru", None],
        "model.share": [None, "0.5", None],
        "text.max_length": ["9", "8", "8"],
    }


def test_a_linear_model_differs_from_a_recurrent_one_in_its_kind():
    runs = [kept_run("a", FIRST), kept_run("b", FIRST, tags={"rnnlane.model": "linear"})]
    compared = compare_runs(runs, split="test", num_texts=1)
    assert compared.config == {"model": ["rnn", "linear"]}


def test_metrics_stand_side_by_side_those_of_val_first():
    first = {"epoch": 2.0, "train/loss": 0.1, "val/loss": 0.2, "test/loss": 0.3}
    table = side_by_side([first, {"val/loss": 0.4, "time/epoch_s": 1.0}])
    assert list(table) == ["val/loss", "test/loss", "train/loss", "time/epoch_s"]
    assert table["val/loss"] == [0.2, 0.4]
    assert table["train/loss"] == [0.1, None]


def test_a_notebook_shows_the_tests_the_metrics_and_the_settings():
    runs = [
        kept_run("a", WORSE, params={"model.cell": "rnn"}),
        kept_run("<b>", FIRST, params={"model.cell": "<gru>"}),
    ]
    comparison = compare_runs(runs, split="test", num_texts=1)
    assert repr(comparison).startswith("Comparison(split test, compared with a, <b> better: +10.00")
    assert "p &lt; 0.001" in comparison._repr_html_()
    page = comparison._repr_html_()
    assert "&lt;b&gt;" in page
    assert "&lt;gru&gt;" in page
    assert "<b>" not in page.replace("<b>Comparison</b>", "")


def test_comparing_and_promoting_import_no_torch():
    program = (
        "import sys, rnnlane.inference.comparison, rnnlane.inference.promotion;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
