"""Comparing runs of a real store, which were logged by hand."""

import json

import numpy as np
import pytest

from rnnlane import compare
from rnnlane.config import experiment_from_mapping
from rnnlane.errors import ConfigError, DataError, TrackingError
from rnnlane.inference import kept
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.tracking.client import open_client
from support.compared import predictions_of, summary_of

LABELS = np.arange(300) % 2
FIRST = predictions_of(LABELS, np.where(np.arange(300) < 9, 1 - LABELS, LABELS))
SECOND = predictions_of(LABELS, LABELS)
RESULTS = {"best_epoch": 2, "history": [{"val/loss": 0.9}, {"val/loss": 0.5, "test/loss": 0.6}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def uri(folder):
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="module")
def add_run(folder, uri):
    """Logs a finished run."""
    client = open_client(uri)
    experiment = client.create_experiment("x", artifact_location=str(folder / "artifacts"))

    def add_run(name, predictions=None, *, results=RESULTS, status="FINISHED", data="d0"):
        tags = {"rnnlane.run_key": name, "rnnlane.data_fingerprint": data}
        run_id = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        client.log_param(run_id, "model.cell", name)
        config = experiment_from_mapping(
            {
                "name": name,
                "data": {"source": {"kind": "generated"}},
                "runtime": {"storage_path": str(folder)},
            }
        )
        files = folder / run_id
        files.mkdir()
        (files / "experiment.yaml").write_text(resolved_yaml(config))
        (files / "results.json").write_text(json.dumps(results))
        if predictions is not None:
            predictions.write(files / "predictions" / "test.parquet")
        client.log_artifacts(run_id, str(files))
        client.set_terminated(run_id, status)
        return run_id

    return add_run


@pytest.fixture(scope="module")
def ids(add_run):
    return [add_run("first", FIRST), add_run("second", SECOND)]


def test_two_runs_of_a_store_are_compared(ids, uri, tmp_path):
    picture = tmp_path / "compared.png"
    comparison = compare(["first", ids[1][:8]], tracking_uri=uri, num_texts=2, plot=picture)
    assert [run["run_id"] for run in comparison.runs] == ids
    assert [run["epoch"] for run in comparison.runs] == [2, 2]
    assert comparison.metrics == {"val/loss": [0.5, 0.5], "test/loss": [0.6, 0.6]}
    assert comparison.config == {"model.cell": ["first", "second"]}
    assert comparison.tests[0]["num_won"] == 9
    assert (comparison.split, comparison.tracking_uri) == ("test", uri)
    assert [row["text"] for row in comparison.texts] == [None, None]
    assert [row["row_key"] for row in comparison.texts] == ["0", "1"]
    assert comparison.notes[-1].startswith("the texts are not shown, because the prepared data is")
    assert "/prepared/d0: there is no manifest.json" in comparison.notes[-1]
    assert picture.stat().st_size > 10_000
    json.dumps(comparison.as_dict())


def test_texts_come_from_the_first_prepared_data_that_is_here(ids, uri, monkeypatch):
    asked = []

    class Prepared:
        def texts(self, split, row_keys):
            asked.append((split, list(row_keys)))
            return {key: f"text {key}" for key in row_keys}

    def opened(path):
        asked.append(path.rpartition("/")[2])
        if path.endswith("d0"):
            raise DataError("it was removed", where=path)
        return Prepared()

    monkeypatch.setattr(kept, "open_prepared", opened)
    runs = [summary_of("a", run_id=ids[0], **{"rnnlane.data_fingerprint": name}) for name in "ab"]
    runs.insert(0, summary_of("c", run_id=ids[0], **{"rnnlane.data_fingerprint": "d0"}))
    assert kept.read_texts(uri, runs, "val", [3]) == ({3: "text 3"}, None)
    assert asked == ["d0", "a", ("val", [3])]


def test_a_run_named_twice_is_refused(ids, uri):
    with pytest.raises(ConfigError, match=r"'first' and '.*' are both first"):
        compare(["first", ids[0]], tracking_uri=uri)


@pytest.mark.parametrize("runs", [[], ["first"], "first"])
def test_one_run_is_refused_before_the_store_is_opened(runs):
    with pytest.raises(ConfigError, match="needs two runs or more"):
        compare(runs, tracking_uri="http://127.0.0.1:9")


def test_a_run_that_has_not_finished_is_refused(add_run, ids, uri):
    killed = add_run("killed", FIRST, status="KILLED")
    with pytest.raises(ConfigError, match=r"killed \(\w+\) is KILLED"):
        compare([ids[0], killed], tracking_uri=uri)


def test_a_run_of_an_earlier_release_is_refused(add_run, ids, uri):
    old = add_run("old")
    with pytest.raises(ConfigError, match=r"old .* has no predictions/test\.parquet: an earlier"):
        compare([ids[0], old], tracking_uri=uri)


def test_other_classes_are_refused(add_run, ids, uri):
    other = add_run("other", predictions_of(LABELS, LABELS, names=("x", "y")))
    with pytest.raises(ConfigError, match=r"first .* and other .* have the same classes"):
        compare([ids[0], other], tracking_uri=uri)


def test_a_baseline_has_metrics_but_no_epoch(add_run, ids, uri):
    linear = add_run("linear", SECOND, results={"metrics": {"test/loss": 0.1}})
    comparison = compare([ids[0], linear], tracking_uri=uri)
    assert comparison.runs[1]["epoch"] is None
    assert comparison.metrics["test/loss"] == [0.6, 0.1]


@pytest.mark.parametrize("results", [{}, [], {"best_epoch": 7, "history": []}])
def test_damaged_results_are_refused(add_run, ids, uri, results):
    broken = add_run("broken", SECOND, results=results)
    with pytest.raises(TrackingError, match=rf"run {broken}: results\.json must have"):
        compare([ids[0], broken], tracking_uri=uri)
