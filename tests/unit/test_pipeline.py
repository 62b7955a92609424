"""What the verbs do before anything costly is imported or started."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rnnlane import pipeline
from rnnlane.config.fingerprint import config_fingerprint
from rnnlane.errors import ConfigError
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.ray_cluster import connect as cluster
from rnnlane.records.events import RunEvents
from rnnlane.records.results import TrainResult
from support.tiny import tiny_experiment

PREPARE = pipeline.prepare
RESULT = {
    "run_id": "a" * 32,
    "tracking_uri": "sqlite:///x.db",
    "config_fingerprint": "c",
    "data_fingerprint": "d",
    "prepared_path": "p",
    "model_uri": "runs:/a/model",
    "metrics": {},
    "epochs": 2,
    "best_epoch": 1,
    "clip": {},
    "sample": {},
    "run_folder": "f",
    "is_tracked": True,
}


class Notes(RunEvents):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    prepared = SimpleNamespace(fingerprint="d", class_names=("a", "b", "c"), manifest="of d")
    monkeypatch.setattr(pipeline, "prepare", lambda *_, **__: prepared)
    return prepared


def test_resuming_a_finished_run_returns_its_result_and_opens_nothing(monkeypatch):
    monkeypatch.setattr(pipeline, "_open_store", lambda *_: pytest.fail("opened"))
    config = tiny_experiment()
    identity = {"config_fingerprint": config_fingerprint(config), "data_fingerprint": "d"}
    RunRecord.create("tiny", **identity).update(state="finished", result=RESULT)
    events = Notes()
    assert pipeline.train(config, resume=True, events=events) == TrainResult(**RESULT)
    assert events.notes == [f"run {'a' * 32} in sqlite:///x.db", "the run has already finished"]


def test_a_run_that_ray_refuses_leaves_no_record(monkeypatch):
    def refuse(*_, **__):
        raise ConfigError("no")

    monkeypatch.setattr(cluster, "connect", refuse)
    with pytest.raises(ConfigError):
        pipeline.train(tiny_experiment("runtime.num_workers=2"))
    assert all_records() == []


def test_a_metric_of_two_classes_is_refused_for_three():
    with pytest.raises(ConfigError, match="the data has 3"):
        pipeline.train(tiny_experiment("training.metric=val/roc_auc"))


@pytest.fixture
def reported(monkeypatch):
    """The report of a manifest is one line, and no store is opened."""
    monkeypatch.setattr(
        "rnnlane.data.prepare.report.report_lines", lambda manifest: [f"rows {manifest}"]
    )
    monkeypatch.setattr(pipeline, "_open_store", lambda *_: None)
    return Notes()


@pytest.mark.parametrize("verb", ["train", "baseline"])
def test_a_run_begins_with_what_became_of_the_rows(verb, reported, monkeypatch):
    module = "run" if verb == "train" else verb
    execute = f"rnnlane.execution.{module}.execute_{module}"
    monkeypatch.setattr(execute, lambda *_, **keywords: keywords["events"].note("runs"))
    getattr(pipeline, verb)(tiny_experiment(), events=reported)
    assert reported.notes == ["rows of d", "runs"]


def test_preparing_ends_with_what_became_of_the_rows(reported, prepared, monkeypatch):
    monkeypatch.setattr(pipeline, "_prepared", lambda *_: prepared)
    assert PREPARE(tiny_experiment(), events=reported) is prepared
    assert reported.notes == ["rows of d"]


def test_a_search_says_of_each_data_set_how_it_differs(reported, monkeypatch):
    space = {"text.lowercase": "choice(true, false)", "text.max_length": "choice(5)"}
    config = tiny_experiment("search.num_trials=1", f"search.space={json.dumps(space)}")
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: None)
    monkeypatch.setattr("rnnlane.search.search.execute_search", lambda *_, **__: None)
    pipeline.tune(config, events=reported)
    assert reported.notes == [
        "data set 1 of 2: text.lowercase=True",
        "rows of d",
        "data set 2 of 2: text.lowercase=False",
    ]


def test_a_search_needs_its_section():
    with pytest.raises(ConfigError, match="`search` section"):
        pipeline.tune(tiny_experiment())


def test_importing_the_verbs_imports_nothing_costly():
    program = "import sys, rnnlane; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
