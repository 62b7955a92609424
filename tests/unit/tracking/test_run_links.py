from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.config.tracking import TrackingConfig
from rnnlane.tracking.client import open_client
from rnnlane.tracking.links import run_anchor
from rnnlane.tracking.run import RunSpec, start_run
from rnnlane.tracking.run_links import MAX_NOTE_CHARS


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


def finished_run(uri: str, folder: Path, name: str, *searches: str, note: str | None = None) -> str:
    tags = {} if note is None else {"mlflow.note.content": note}
    tracker = start_run(
        TrackingConfig(uri=uri, system_metrics=False),
        RunSpec(name, "m:C", ("neg", "pos"), tags=tags),
        outbox=folder / "outbox",
    )
    for search in searches:
        tracker.link_search(search)
    assert tracker.finish("FINISHED")
    return tracker.run_id


def test_a_run_and_its_search_name_each_other_once(uri: str, tmp_path: Path) -> None:
    search = finished_run(uri, tmp_path, "tickets [1]", note="Ours.")
    first = finished_run(uri, tmp_path, "first", search, search)
    second = finished_run(uri, tmp_path, "second", search)
    client = open_client(uri)
    experiment = client.get_run(search).info.experiment_id
    pages = {run: run_anchor(experiment, run) for run in (search, first, second)}
    assert client.get_run(first).data.tags["mlflow.note.content"] == (
        f"Trained from the `best.yaml` of the search [tickets \\[1\\]]({pages[search]})."
    )
    tags = client.get_run(search).data.tags
    assert tags["mlflow.note.content"].split("\n\n") == [
        "Ours.",
        f"Its `best.yaml` was trained as [first]({pages[first]}).",
        f"Its `best.yaml` was trained as [second]({pages[second]}).",
    ]
    assert tags["rnnlane.best_run"] == second


def test_a_description_that_is_full_stays_as_it_is(uri: str, tmp_path: Path) -> None:
    note = "x" * MAX_NOTE_CHARS
    search = finished_run(uri, tmp_path, "search", note=note)
    run_id = finished_run(uri, tmp_path, "run", search)
    tags = open_client(uri).get_run(search).data.tags
    assert (tags["mlflow.note.content"], tags["rnnlane.best_run"]) == (note, run_id)


def test_a_search_of_another_store_or_one_that_was_deleted_is_no_error(
    uri: str, tmp_path: Path
) -> None:
    deleted = finished_run(uri, tmp_path, "deleted")
    open_client(uri).delete_run(deleted)
    run_id = finished_run(uri, tmp_path, "run", "0" * 32, "no run id", deleted)
    assert "mlflow.note.content" not in open_client(uri).get_run(run_id).data.tags


def test_a_run_of_several_seeds_names_each_of_them_once(uri: str, tmp_path: Path) -> None:
    seeds = {seed: finished_run(uri, tmp_path, f"x-seed-{seed}") for seed in (0, 1)}
    tracker = start_run(
        TrackingConfig(uri=uri, system_metrics=False),
        RunSpec("x", "m:C", (), tags={"mlflow.note.content": "Ours."}),
        outbox=tmp_path / "outbox",
    )
    for seed, run_id in (*seeds.items(), *seeds.items()):
        tracker.link_seed(seed, run_id)
    assert tracker.finish("FINISHED")
    run = open_client(uri).get_run(tracker.run_id)
    pages = [run_anchor(run.info.experiment_id, run_id) for run_id in seeds.values()]
    assert run.data.tags["mlflow.note.content"].split("\n\n") == [
        "Ours.",
        f"Seed 0: [x\\-seed\\-0]({pages[0]})",
        f"Seed 1: [x\\-seed\\-1]({pages[1]})",
    ]
