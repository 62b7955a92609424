"""What goes once a run has finished and the store has everything."""

import pytest

from rnnlane.execution.leftovers import can_tidy, tidy
from rnnlane.execution.run_record import RunRecord
from support.leftovers import IDENTITY, checkpoint_of, finished_run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_finished_run_keeps_its_results_and_no_more(home):
    record = finished_run()
    for name in ("inputs", "model", "ray-tune", "outbox", "results"):
        (record.folder / name).mkdir()
        (record.folder / name / "file").write_text("x")
    checkpoint = checkpoint_of(record)
    tidied = tidy(record)
    assert tidied.is_tidy
    assert not can_tidy(tidied)
    assert not checkpoint.exists()
    assert sorted(file.name for file in record.folder.iterdir()) == ["results", "run.json"]
    assert (record.folder / "results" / "file").read_text() == "x"


@pytest.mark.parametrize(
    "change", [{"state": "failed"}, {"state": "killed"}, {"state": "running"}, {"is_closed": False}]
)
def test_a_run_that_may_go_on_keeps_its_checkpoints(change):
    record = finished_run().update(**change)
    checkpoint = checkpoint_of(record)
    assert not tidy(record).is_tidy
    assert checkpoint.exists()


@pytest.mark.parametrize("name", ["outbox.db", "journal.jsonl"])
def test_a_run_whose_model_is_not_delivered_keeps_its_checkpoints(name):
    record = finished_run()
    record.outbox.mkdir()
    (record.outbox / name).touch()
    checkpoint = checkpoint_of(record)
    assert not tidy(record).is_tidy
    assert checkpoint.exists()
    (record.outbox / name).unlink()
    assert tidy(record).is_tidy
    assert not checkpoint.exists()


def test_the_checkpoints_of_a_search_s_trials_go_with_it(home):
    record = finished_run()
    trial = home / "checkpoints" / record.key / f"{record.key}-003" / "attempt-1"
    trial.mkdir(parents=True)
    assert tidy(record).is_tidy
    assert list((home / "checkpoints").iterdir()) == []


def test_checkpoints_in_other_storage_go_too(tmp_path):
    record = finished_run().update(storage=(tmp_path / "shared").as_uri())
    folder = tmp_path / "shared" / "checkpoints" / record.key
    folder.mkdir(parents=True)
    assert tidy(record).is_tidy
    assert not folder.exists()


def test_storage_that_is_away_is_tried_again_by_the_next_command():
    record = finished_run().update(storage="nosuch://storage")
    assert not tidy(record).is_tidy
    assert can_tidy(record.reread())


def test_a_record_of_an_earlier_version_is_tidied():
    record = RunRecord.create("x", **IDENTITY).update(state="finished", result={}, is_closed=True)
    assert can_tidy(record)
