"""Reading a store, on a real SQLite file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.errors import ConfigError, TrackingError
from rnnlane.inference.kept import find_runs_to_compare
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
    for epoch, accuracy in enumerate((0.7, 0.9, 0.8), start=1):
        client.log_metric(run.info.run_id, "val/accuracy", accuracy, step=epoch)
    client.log_metric(run.info.run_id, "test/accuracy", 0.6, step=2)
    client.set_tag(run.info.run_id, "rnnlane.best_epoch", "2")
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
    assert run.metrics == {"val/loss": 0.5, "val/accuracy": 0.8, "test/accuracy": 0.6}
    assert run.tags["rnnlane.run_key"] == "a"
    running = find_run(uri, NEW)
    assert (running.status, running.duration_s) == ("RUNNING", None)


def test_a_listed_run_has_the_figures_of_its_best_epoch(uri: str) -> None:
    newest, _, oldest = list_runs(uri, mlflow_experiment=None, limit=10)
    assert oldest.best == {"epoch": 2, "val/accuracy": 0.9, "test/accuracy": 0.6}
    assert oldest.metrics["val/accuracy"] == 0.8
    assert newest.best == {}


def test_a_run_and_a_search_have_their_best_figures_before_they_have_finished(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = open_client(uri)
    run = client.create_run("0", start_time=2000)
    for epoch, value in enumerate((0.7, 0.9, 0.8), start=1):
        client.log_metric(run.info.run_id, "train/accuracy", value, step=epoch)
    search = client.create_run("0", start_time=1000, tags={"rnnlane.kind": "search"})
    for run_id, epoch in ((run.info.run_id, 2), (search.info.run_id, 3)):
        client.log_metric(run_id, "best/val/accuracy", 0.6)
        client.log_metric(run_id, "best_epoch", epoch)
    found = [run.best for run in list_runs(uri, mlflow_experiment=None, limit=10)]
    assert found == [
        {"epoch": 2, "val/accuracy": 0.6, "train/accuracy": 0.9},
        {"epoch": 3, "val/accuracy": 0.6},
    ]


def test_latest_is_the_newest_finished_run_with_a_model(uri: str) -> None:
    assert find_run(uri, "latest").name == OLD


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a run of rnnlane, and newer ones of the same name that have no model."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'mlflow.db'}"
    client = open_client(uri)
    experiment = client.create_experiment("shared")
    ours, search = {"rnnlane.run_key": "a"}, {"rnnlane.run_key": "b", "rnnlane.kind": "search"}
    ends = [(ours, "FINISHED"), (ours, "FAILED"), (search, "FINISHED"), ({}, "FINISHED")]
    for number, (tags, status) in enumerate(ends, start=1):
        run = client.create_run(experiment, start_time=number, run_name="x", tags=tags)
        client.set_terminated(run.info.run_id, status, end_time=10)
    for name in ODD_NAMES:
        client.create_run(experiment, start_time=9, run_name=name)
    return uri


ODD_NAMES = ["it's x", "it's 'x'", 'it\'s "x"', "%", "a%b", "\\", "a;b -- c", "é", "a = 'b'", " "]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_run_is_found_by_its_very_name(shared: str, name: str) -> None:
    assert find_run(shared, name).name == name


OTHER_NAMES = ["its x", "it's _x_", 'it\'s "y"', "a_b", "E", "", "'", "x' OR '1"]


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_no_other_name_finds_it(shared: str, name: str) -> None:
    with pytest.raises(ConfigError, match="no run has the id or name"):
        find_run(shared, name)


def test_a_newer_run_of_another_tool_hides_no_model(shared: str) -> None:
    newest = find_run(shared, "x")
    assert "rnnlane.run_key" not in newest.tags
    for reference in ("latest", "x"):
        found = find_run(shared, reference, with_model=True)
        assert (found.status, found.tags["rnnlane.run_key"]) == ("FINISHED", "a")


@pytest.mark.parametrize(
    ("number", "reason"),
    [(0, "was logged by another tool"), (1, "is a search, which logs none"), (2, "is FAILED")],
)
def test_a_run_without_a_model_is_refused_with_the_reason(
    shared: str, number: int, reason: str
) -> None:
    listed = list_runs(shared, mlflow_experiment=None, limit=20)
    run = [run for run in listed if run.name == "x"][number]
    assert find_run(shared, run.run_id) == run
    with pytest.raises(ConfigError, match=rf"x \({run.run_id}\) {reason}") as caught:
        find_run(shared, run.run_id[:9], with_model=True)
    assert caught.value.remedy


def test_latest_says_that_no_run_is_one_of_ours(shared: str) -> None:
    client, ours = open_client(shared), find_run(shared, "latest").run_id
    client.delete_run(ours)
    with pytest.raises(ConfigError, match="none of the 13 runs here is one"):
        find_run(shared, "latest")
    client.restore_run(ours)


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


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A store with a run of two seeds, of which the first is the best; the ids of the three."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('seeds') / 'mlflow.db'}"
    client = open_client(uri)
    ours = {"rnnlane.run_key": "a"}
    whole = client.create_run(
        "0", start_time=1, run_name="x", tags={**ours, "rnnlane.seeds": "4, 5"}
    )
    ids = [whole.info.run_id]
    for number, seed in enumerate((4, 5), start=2):
        of_seed = {"mlflow.parentRunId": ids[0], "rnnlane.seed": str(seed)}
        run = client.create_run(
            "0", start_time=number, run_name=f"x-seed-{seed}", tags={**ours, **of_seed}
        )
        ids.append(run.info.run_id)
    client.set_tag(ids[0], "rnnlane.best_seed_run", ids[1])
    for run_id in ids:
        client.set_terminated(run_id, "FINISHED", end_time=10)
    return uri, ids


@pytest.mark.parametrize("reference", ["latest", "x"])
def test_a_run_of_several_seeds_stands_for_its_best_one_and_says_so(
    seeded: tuple[str, list[str]], reference: str, caplog: pytest.LogCaptureFixture
) -> None:
    uri, (whole, best, _) = seeded
    assert find_run(uri, reference, with_model=True).run_id == best
    [said] = [record.getMessage() for record in caplog.records]
    assert said == (
        f"x ({whole[:8]}) has the seeds 4, 5: this is the model of seed 4, the best on val "
        f"(run {best[:8]})"
    )
    assert find_run(uri, reference).run_id == whole
    assert find_run(uri, "x-seed-5", with_model=True).tags["rnnlane.seed"] == "5"


def test_runs_of_several_seeds_are_compared_seed_by_seed(seeded: tuple[str, list[str]]) -> None:
    uri, (whole, first, second) = seeded
    with pytest.raises(ConfigError, match=rf"x \({whole}\) has the seeds 4, 5") as refused:
        find_runs_to_compare(uri, [second, "latest"])
    remedy = refused.value.remedy or ""
    assert f"seed 4 is {first[:8]}, 5 is {second[:8]}" in remedy


def test_the_runs_of_seeds_are_listed_with_trials_only(seeded: tuple[str, list[str]]) -> None:
    uri, _ = seeded
    assert names(uri) == ["x"]
    assert names(uri, with_trials=True) == ["x-seed-5", "x-seed-4", "x"]
