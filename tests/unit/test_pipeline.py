"""What the verbs do before anything costly is imported or started."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rnnlane import pipeline
from rnnlane.config.fingerprint import config_fingerprint
from rnnlane.errors import ConfigError, DataError
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.ray_cluster import connect as cluster
from rnnlane.records.events import RunEvents
from rnnlane.records.results import TrainResult
from support.tiny import tiny_experiment

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
    prepared = SimpleNamespace(fingerprint="d", class_names=("a", "b", "c"))
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


def test_weights_of_classes_that_the_data_lacks_are_refused():
    with pytest.raises(ConfigError, match="must be classes of the data, but got 'x'"):
        pipeline.train(tiny_experiment("training.class_weights={x: 2}"))


@pytest.mark.parametrize("verb", [pipeline.train, pipeline.tune])
def test_word_vectors_are_checked_before_anything_is_prepared(verb, monkeypatch):
    monkeypatch.setattr(pipeline, "prepare", lambda *_, **__: pytest.fail("prepared"))
    config = tiny_experiment(
        "model.pretrained_vectors=none.txt", "search.space={model.num_layers: {choice: [1, 2]}}"
    )
    with pytest.raises(DataError, match="cannot read the word vectors: No such file"):
        verb(config)


def test_a_search_needs_its_section():
    with pytest.raises(ConfigError, match="`search` section"):
        pipeline.tune(tiny_experiment())


def test_importing_the_verbs_imports_nothing_costly():
    program = "import sys, rnnlane; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
