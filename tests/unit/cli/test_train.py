import json
from types import SimpleNamespace

import pytest

from support.results import seeds_result

METRICS = {
    f"{split}/{metric}": 0.5
    for split in ("train", "val", "test")
    for metric in ("accuracy", "macro_f1")
}
RESULT = SimpleNamespace(
    run_id="0123456789abcdef",
    tracking_uri="sqlite:///x.db",
    run_url=None,
    runs_url=None,
    metrics={"best": METRICS, "last": {"throughput/rows_per_s": 1234.5}},
    best_epoch=2,
    epochs=3,
    clip={"max_norm": 1.5, "clipped_fraction": 0.25},
    sample={"label": "pos", "probabilities": {"pos": 0.75, "neg": 0.25}, "text": "A film."},
    run_folder="runs/x",
    report="runs/x/results/report.html",
    verdict=None,
    refit=None,
    classes=[
        {"class": "pos", "precision": 0.5, "recall": 0.25, "f1": 0.3333, "rows": 1200},
        {"class": "neg", "precision": None, "recall": None, "f1": None, "rows": 0},
    ],
    confused=[{"true": "pos", "predicted": "neg", "rows": 900, "share": 0.75}],
    notes=["test has no row of 1 of the 2 classes (neg)"],
    as_dict=lambda: {"run_id": "0123456789abcdef"},
)


@pytest.fixture
def calls(replaced):
    return replaced("rnnlane.cli.train.train_experiment", RESULT)


def test_workers_are_short_for_a_key_and_resume_is_passed_on(call, calls, experiment):
    printed = call("train", experiment, "--workers", "0", "--resume", "--json").stdout
    assert json.loads(printed) == {"run_id": "0123456789abcdef"}
    ((config,), keywords) = calls[0]
    assert config.runtime.num_workers == 0
    assert keywords["resume"] is True


def test_a_person_sees_the_best_epoch_the_clipping_and_what_to_do_next(call, calls, experiment):
    printed = call("train", experiment).stdout
    assert "(epoch 2 of 3)" in printed
    assert "25.0% of steps at 1.5" in printed
    assert "rnnlane predict --run 01234567" in printed


def test_a_person_sees_whose_figures_those_of_test_are(call, replaced, experiment):
    result = SimpleNamespace(**{**vars(RESULT), "refit": {"train/loss": 0.5}})
    replaced("rnnlane.cli.train.train_experiment", result)
    printed = " ".join(call("train", experiment).stdout.split())
    assert "(epoch 2 of 3; test: after the refit)" in printed


def test_the_next_commands_name_the_store_of_the_experiment(call, calls, experiment, tmp_path):
    store = f"tracking.uri=sqlite:///{tmp_path}/x.db"
    printed = call("train", experiment, "--set", store).stdout
    assert f"rnnlane ui --tracking-uri {RESULT.tracking_uri}" in printed


def test_a_number_of_workers_that_is_none_is_refused(call, calls, experiment):
    call("train", experiment, "--workers", "-1", exit_code=2)
    assert calls == []


def test_a_person_sees_macro_f1_each_class_and_what_to_know(call, calls, experiment):
    printed = call("train", experiment).stdout
    assert "macro F1   val 0.5000   test 0.5000" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["pos", "0.5000", "0.2500", "0.3333", "1,200"] in lines
    assert ["neg", "-", "-", "-", "0"] in lines
    assert "note: test has no row of 1 of the 2 classes (neg)" in printed


def test_without_a_sample_there_is_no_line_of_it(call, replaced, experiment):
    replaced(
        "rnnlane.cli.train.train_experiment", SimpleNamespace(**vars(RESULT) | {"sample": None})
    )
    assert "sample" not in call("train", experiment).stdout


def test_the_report_is_named_and_a_verdict_replaces_the_sample(call, replaced, experiment):
    verdict = "no better than always answering 'pos'"
    made = SimpleNamespace(**vars(RESULT) | {"verdict": verdict})
    replaced("rnnlane.cli.train.train_experiment", made)
    printed = call("train", experiment).stdout
    assert "runs/x/results/report.html" in printed
    assert verdict in " ".join(printed.split())
    assert "75.0%" not in printed.split("test by class")[0]


def test_of_several_seeds_a_person_sees_mean_and_spread_and_each_seed(call, replaced, experiment):
    result = seeds_result()
    replaced("rnnlane.cli.train.train_experiment", result)
    printed = call("train", experiment).stdout
    for text in ("of 2 seeds", "0.7500 ± 0.3536", "seed 5 (by val/accuracy)", "note: be careful"):
        assert text in printed
    assert "rnnlane predict --run 01234567" in printed
    (row,) = [line for line in printed.splitlines() if "44444444" in line]
    assert row.split() == ["4", "44444444", "2", "of", "3", "0.5000", "0.9000"]
    assert json.loads(call("train", experiment, "--json").stdout) == result.as_dict()
