"""Reading a store, on a real SQLite file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.errors import ConfigError, TrackingError
from rnnlane.tracking.client import open_client
from rnnlane.tracking.store import check_store, find_run, find_tagged, list_runs

OLD, NEW, TRIAL = "it's one", "two", "trial 0"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two experiments: in one a finished run and a search with a trial, in the other a run."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    client = open_client(uri)
    first, second = client.create_experiment("first"), client.create_experiment("second")
    run = client.create_run(first, start_time=1000, run_name=OLD, tags={"rnnlane.run_key": "a"})
    client.log_metric(run.info.run_id, "val/loss", 0.5)
    client.set_terminated(run.info.run_id, "FINISHED", end_time=3500)
    search = client.create_run(
        first, start_time=2000, run_name="search", tags={"rnnlane.kind": "search"}
    )
    client.set_terminated(search.info.run_id, "FINISHED", end_time=9000)
    parent = {"mlflow.parentRunId": search.info.run_id, "rnnlane.kind": "trial"}
    client.create_run(first, start_time=3000, run_name=TRIAL, tags=parent)
    client.create_run(second, start_time=4000, run_name=NEW, tags={"rnnlane.run_key": "b"})
    return uri


def names(uri: str, **options: object) -> list[str]:
    given = {"mlflow_experiment": None, "limit": 10, **options}
    return [run.name for run in list_runs(uri, **given)]  # type: ignore[arg-type]


def test_runs_are_listed_newest_first_without_trials_and_up_to_a_limit(uri: str) -> None:
    assert names(uri) == [NEW, "search", OLD]
    assert names(uri, with_trials=True) == [NEW, TRIAL, "search", OLD]
    assert names(uri, limit=1) == [NEW]
    assert names(uri, mlflow_experiment="first") == ["search", OLD]
    with pytest.raises(TrackingError, match="there is no 'third'"):
        names(uri, mlflow_experiment="third")


def test_a_run_is_summarized(uri: str) -> None:
    run = find_run(uri, OLD)
    assert (run.status, run.started_at, run.duration_s) == ("FINISHED", 1.0, 2.5)
    assert run.metrics == {"val/loss": 0.5}
    assert run.tags["rnnlane.run_key"] == "a"
    running = find_run(uri, NEW)
    assert (running.status, running.duration_s) == ("RUNNING", None)


def test_latest_is_the_newest_finished_run_with_a_model(uri: str) -> None:
    assert find_run(uri, "latest").name == OLD


def test_a_run_is_found_by_its_id_and_by_six_characters_of_it(uri: str) -> None:
    run = find_run(uri, NEW)
    assert find_run(uri, run.run_id) == find_run(uri, run.run_id[:12]) == run
    with pytest.raises(ConfigError, match="no run has the id or name"):
        find_run(uri, run.run_id[:5])


def test_an_unknown_name_is_refused_with_similar_ones(uri: str) -> None:
    with pytest.raises(ConfigError, match="no run has the id or name 'serch'") as caught:
        find_run(uri, "serch")
    assert caught.value.remedy == "similar: search"
    with pytest.raises(ConfigError) as caught:
        find_run(uri, "qqqq")
    assert caught.value.remedy == f"the newest are: {NEW}, {TRIAL}, search"


def test_a_tag_finds_the_newest_run_that_has_it(uri: str) -> None:
    assert find_tagged(uri, "rnnlane.run_key", "a") == find_run(uri, OLD).run_id
    assert find_tagged(uri, "rnnlane.run_key", "c") is None


def test_a_missing_file_is_an_empty_store_and_is_not_created(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert names(uri) == []
    assert find_tagged(uri, "rnnlane.run_key", "a") is None
    with pytest.raises(ConfigError, match="the store is empty"):
        find_run(uri, "latest")
    assert list(tmp_path.iterdir()) == []


def test_checking_a_store_marks_the_experiment(uri: str) -> None:
    check_store(uri, mlflow_experiment="checked")
    experiment = open_client(uri).get_experiment_by_name("checked")
    assert experiment is not None
    assert experiment.tags["rnnlane.checked"] == "true"
