import csv
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
from rnnlane.config.model import ModelConfig
from rnnlane.config.search import Space
from rnnlane.config.space import trial_experiment
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.results import SearchResult
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports import search_figures
from rnnlane.search import results
from rnnlane.search.results import (
    best_yaml,
    describe_result,
    write_search_results,
)
from rnnlane.tracking.links import Pages

SPACE = {"model.num_layers": "choice(1, 2)", "training.learning_rate": "loguniform(1e-4, 1e-2)"}
PARAMS = {"model.num_layers": 2, "training.learning_rate": 0.00123456789}


def experiment(**changes: Any) -> ExperimentConfig:
    search = {"space": SPACE, "max_epochs": 3, "metric": "val/macro_f1"}
    source = {"kind": "generated"}
    return experiment_from_mapping(
        {
            "name": "n" * 80,
            "data": {"source": source},
            "tracking": {"uri": "https://ann:secret@host/mlflow"},
            "search": search,
            **changes,
        }
    )


def trial(number: int, value: float | None, **changes: Any) -> TrialRecord:
    history = (
        ()
        if value is None
        else tuple(
            {"epoch": float(epoch), "val/macro_f1": value / epoch, "grad_norm/mean": 1.5}
            for epoch in (1, 2)
        )
    )
    return replace(
        TrialRecord(
            number=number,
            state="finished",
            params=PARAMS if number == 1 else {"model.num_layers": 1},
            history=history,
            value=value,
            best_epoch=None if value is None else 1,
            clip_norm=2.5,
            mean_norm=1.25,
            clipped_fraction=0.25,
            started_at=1.0,
            ended_at=2.0 + number,
            key=f"s-{number:03d}",
        ),
        **changes,
    )


def found(*trials: TrialRecord) -> SearchRecord:
    return SearchRecord(
        name="x",
        metric="val/macro_f1",
        is_larger_better=True,
        space=TypeAdapter(Space).validate_python(SPACE),
        algorithm="random",
        scheduler="asha",
        max_epochs=3,
        num_planned=len(trials),
        trials=trials,
        elapsed_s=12.0,
        epochs_trained=7,
    ).with_best()


@pytest.fixture
def record(tmp_path, monkeypatch) -> RunRecord:
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    created = RunRecord.create("x", config_fingerprint="c", data_fingerprint="d")
    return created.update(run_id="abc")


TRACKER = SimpleNamespace(
    run_id="abc",
    tracking_uri="https://ann:secret@host/mlflow",
    pages=Pages("https://host/mlflow/#/experiments/1/runs/r", None),
    trial_ids=lambda: {"s-001": "child"},
)


def test_the_winner_is_refitted_if_the_searched_experiment_asks_for_it(tmp_path):
    file = tmp_path / "best.yaml"
    for asked in (True, False):
        config = experiment(training={"refit": asked})
        file.write_text(best_yaml(config, found(trial(0, 0.5), trial(1, 0.8)), run_id="abc"))
        assert load_experiment(file).training.refit is asked


def test_the_winners_experiment_loads_as_the_one_that_its_trial_trained(tmp_path):
    config = experiment()
    file = tmp_path / "best.yaml"
    file.write_text(best_yaml(config, found(trial(0, 0.5), trial(1, 0.8)), run_id="abc"))
    loaded = load_experiment(file)
    trained = trial_experiment(config, PARAMS)
    assert loaded.name == "n" * 75 + "-best"
    assert loaded.search is None
    assert (loaded.training.epochs, loaded.training.metric) == (3, "val/macro_f1")
    assert loaded.tracking.tags == {"rnnlane.search_run": "abc"}
    untouched = {"name": "x", "tracking": trained.tracking}
    assert loaded.model_copy(update=untouched) == trained.model_copy(update=untouched)


def test_the_comment_says_where_the_experiment_comes_from_and_keeps_passwords():
    won = trial(1, 0.8, seed_values=(0.8, 0.75))
    text = best_yaml(experiment(), found(trial(0, 0.5), won), run_id="abc")
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert "MLflow run abc" in comment[0]
    assert "Trial 1 of 2: val/macro_f1 0.8000 at epoch 1; with 2 seeds 0.8000, 0.7500" in comment[1]
    assert json.dumps(PARAMS) in comment[2]
    assert "2.5 (mean gradient norm 1.25, 25.0% of the steps clipped)" in comment[3]
    assert "rnnlane train` and the name of this file" in comment[4]
    assert "secret" not in text


@pytest.mark.parametrize(("num_workers", "trained"), [(2, "2"), ([1, 4], "1 to 4")])
def test_the_comment_says_that_other_workers_than_the_trials_may_end_elsewhere(
    num_workers, trained
):
    winner = found(trial(1, 0.8))
    config = experiment(runtime={"num_workers": num_workers})
    text = best_yaml(config, winner, run_id="abc")
    assert (
        f"# That trains with {trained} as runtime.num_workers, where the trial had 1 as "
        "search.workers_per_trial:\n"
        "# the sums are then in another order, so its val/macro_f1 can differ from the trial's.\n"
    ) in text
    dropping = config.model_copy(update={"model": ModelConfig(embedding_dropout=0.5)})
    assert "order, and dropout's masks are others, so" in best_yaml(dropping, winner, run_id="abc")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_comment_says_nothing_of_workers_where_the_trial_had_as_many(num_workers):
    config = experiment(runtime={"num_workers": num_workers})
    assert "workers" not in best_yaml(config, found(trial(1, 0.8)), run_id="abc").split("name:")[0]


def test_the_comment_says_nothing_of_workers_where_their_number_changes_nothing():
    config = experiment(runtime={"num_workers": 2}, training={"reduction_shards": 4})
    assert "workers" not in best_yaml(config, found(trial(1, 0.8)), run_id="abc").split("name:")[0]


def test_the_comment_knows_of_no_clipping_and_of_no_norm():
    unclipped = found(trial(1, 0.8, clip_norm=None))
    assert "# Gradients were not clipped.\n" in best_yaml(experiment(), unclipped, run_id=None)
    unmeasured = found(trial(1, 0.8, mean_norm=None))
    text = best_yaml(experiment(), unmeasured, run_id=None)
    assert "# Clip value in force: 2.5 (25.0% of the steps clipped).\n" in text


def test_the_files_of_a_search_hold_every_trial_and_the_winner(tmp_path, record):
    failed = trial(2, None, state="failed", reason="lost")
    search = found(trial(0, 0.5, state="pruned"), trial(1, 0.8), failed)
    files = write_search_results(tmp_path / "results", experiment(), search, record=record)
    assert load_experiment(files.best_config).model.num_layers == 2
    with (tmp_path / "results" / "trials.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["number"], row["state"]) for row in rows] == [
        ("0", "pruned"),
        ("1", "finished"),
        ("2", "failed"),
    ]
    assert "model.num_layers" in files.report.read_text(encoding="utf-8")
    assert list((tmp_path / "results" / "figures").glob("*.png"))


def test_a_search_outlives_what_cannot_be_drawn(tmp_path, record, monkeypatch, caplog):
    def fail(*_args, **_settings):
        raise ValueError("no such font")

    monkeypatch.setattr(search_figures, "save_importance", fail)
    monkeypatch.setattr(results, "report_html", fail)
    search = found(trial(0, 0.5), trial(1, 0.8))
    files = write_search_results(tmp_path / "results", experiment(), search, record=record)
    assert files.best_config.exists()
    assert (tmp_path / "results" / "figures" / "best_value.png").exists()
    assert "the picture importance.png is left out" in caplog.text
    assert "report.html is left out, because it cannot be made: ValueError" in caplog.text


def test_the_answer_counts_the_trials_and_names_the_winner(tmp_path, record):
    pruned, cut = trial(0, 0.5, state="pruned"), trial(3, 0.4, state="cut")
    search = found(pruned, trial(1, 0.8), trial(2, None, state="failed"), cut)
    files = write_search_results(tmp_path / "results", experiment(), search, record=record)
    result = describe_result(experiment(), search, files, True, record=record, tracker=TRACKER)
    counts = (result.num_trials, result.num_pruned, result.num_cut, result.num_failed)
    assert counts == (4, 1, 1, 1)
    assert (result.epochs_trained, result.elapsed_s) == (7, 12.0)
    assert result.best == {
        "number": 1,
        "params": PARAMS,
        "value": 0.8,
        "seed_values": [],
        "best_epoch": 1,
        "metrics": {"epoch": 1.0, "val/macro_f1": 0.8, "grad_norm/mean": 1.5},
        "run_id": "child",
    }
    assert result.clip == {"mean_norm": 1.25, "max_norm": 2.5, "clipped_fraction": 0.25}
    assert "secret" not in result.tracking_uri
    assert SearchResult(**json.loads(json.dumps(result.as_dict()))) == result


def test_a_search_whose_trials_all_failed_has_no_winner_but_a_report(tmp_path, record):
    search = found(trial(0, None, state="failed", reason="lost"))
    files = write_search_results(tmp_path / "results", experiment(), search, record=record)
    result = describe_result(experiment(), search, files, False, record=record, tracker=TRACKER)
    assert (result.best, result.clip, result.best_config) == (None, None, None)
    assert not (tmp_path / "results" / "best.yaml").exists()
    assert files.report.exists()
