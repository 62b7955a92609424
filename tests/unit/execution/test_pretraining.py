"""Pretraining in this process, with MLflow replaced, and a classifier that starts from it."""

from types import SimpleNamespace

import pytest
import torch

from rnnlane.errors import ConfigError
from rnnlane.execution import pretrained as starts
from rnnlane.execution import pretraining
from rnnlane.execution.pretrained import fetch_start, with_known_start
from rnnlane.execution.pretraining import execute_pretraining
from rnnlane.execution.run import training_data
from rnnlane.execution.run_record import RunRecord
from rnnlane.training.loop import run_training
from support.events import Remembered
from support.language import SETTINGS, language_data
from support.runs import ALONE
from support.tiny import tiny_experiment
from support.tracked import IDENTITY, RememberedTracker, tiny_prepared


def language_prepared():
    """Prepared data whose test cannot be read."""
    data, prepared = language_data(), tiny_prepared()
    prepared.split = data.splits.__getitem__
    stats = prepared.manifest.splits
    by_name = dict.fromkeys(data.splits, stats["train"])
    prepared.manifest = prepared.manifest.model_copy(update={"splits": by_name})
    return prepared


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    tracker = RememberedTracker()
    monkeypatch.setattr(pretraining, "start_run", tracker.start)
    return tracker


def execute(*overrides):
    config = tiny_experiment(*SETTINGS, "training.epochs=9", *overrides)
    with RunRecord.create("tiny", **IDENTITY).locked() as record:
        return execute_pretraining(config, language_prepared(), record=record, events=Remembered())


def test_a_run_of_its_own_kind_logs_its_epochs_and_the_language_model(tracker):
    result = execute()
    assert tracker.spec.tags["rnnlane.kind"] == "pretraining"
    of_training = [key for key in tracker.spec.params if key.startswith("training.")]
    assert of_training == ["training.seed"]
    assert [entry["epoch"] for entry in tracker.history] == [1.0, 2.0]
    assert {one.context for one in tracker.datasets} == {"train", "val", "unlabeled"}
    assert {"pretrained/weights.safetensors", "pretrained/vocabulary.jsonl"} <= tracker.files
    assert tracker.status == "FINISHED"
    assert (
        result.metrics["val/perplexity"] == tracker.history[result.best_epoch - 1]["val/perplexity"]
    )
    assert "val perplexity" in repr(result)


def test_a_classifier_starts_from_it_with_its_vocabulary(tracker, tmp_path, monkeypatch):
    kept = {}

    def keep(folder):
        for file in folder.glob("pretrained/*"):
            kept[file.name] = file.read_bytes()

    monkeypatch.setattr(tracker, "log_artifacts", keep)
    execute()

    def download(_uri, run_id, path, destination):
        assert (run_id, path) == ("abc123", "pretrained")
        folder = destination / path
        folder.mkdir()
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        return folder

    found = SimpleNamespace(run_id="abc123")
    monkeypatch.setattr("rnnlane.tracking.store.find_pretrained", lambda *_: found)
    monkeypatch.setattr("rnnlane.tracking.store.download_artifacts", download)
    config = with_known_start(tiny_experiment("model.bidirectional=true", "model.init_from=latest"))
    assert config.model.init_from == "abc123"
    start = fetch_start(config)
    assert start.vocabulary == language_prepared().vocabulary_text()

    data = training_data(config, tiny_prepared(), splits=("train", "val"))
    weights = start.weights["readers.1.rnn.weight_hh_l0"]
    assert torch.equal(data.start["readers.1.rnn.weight_hh_l0"], weights)
    still = config.training.model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    config = config.model_copy(update={"training": still})
    outcome = run_training(config, data, group=ALONE, events=Remembered())
    found = outcome.weights["body.encoder.rnn.weight_hh_l0_reverse"]
    torch.testing.assert_close(found, weights, atol=1e-6, rtol=0)

    # It is kept: the store is asked once.
    monkeypatch.setattr("rnnlane.tracking.store.find_pretrained", None)
    monkeypatch.setattr("rnnlane.tracking.store.download_artifacts", None)
    assert fetch_start(with_known_start(config)) is not None

    other = config.model_copy(update={"seed": config.seed + 1})
    with pytest.raises(ConfigError, match="texts that its language model has read"):
        training_data(other, tiny_prepared(), splits=("train", "val"))


def test_the_training_seed_decides_the_weights(tracker):
    first, again, other = (
        execute(*seed).metrics["train/loss"] for seed in ([], [], ["training.seed=5"])
    )
    assert first == again != other
    assert tracker.spec.params["training.seed"] == 5


@pytest.mark.parametrize("name", [".", "..", "/", "runs:/", "runs:/..", "a" * 31])
def test_what_is_no_run_is_looked_for_in_the_store(tmp_path, monkeypatch, name):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    monkeypatch.setattr(starts, "home", lambda: tmp_path)
    with pytest.raises(ConfigError, match="the store is empty"):
        with_known_start(
            tiny_experiment(f"model.init_from={name}", f"tracking.uri=sqlite:///{tmp_path}/x.db")
        )


def test_what_is_no_pretraining_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    monkeypatch.setattr(starts, "home", lambda: tmp_path)
    with pytest.raises(ConfigError) as refused:
        with_known_start(
            tiny_experiment("model.init_from=runs:/abc", f"tracking.uri=sqlite:///{tmp_path}/x.db")
        )
    assert "the store is empty (got 'abc')" in refused.value.message
    assert refused.value.where == "model.init_from runs:/abc"
