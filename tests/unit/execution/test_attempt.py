import pytest

from rnnlane.execution.attempt import record_of_attempt, run_to_continue
from rnnlane.execution.environment import code_version
from rnnlane.execution.run_record import RunRecord
from rnnlane.records.events import RunEvents
from support.tiny import tiny_experiment

IDENTITY = {"config_fingerprint": "c", "data_fingerprint": "d"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))


def test_there_is_nothing_to_continue_without_a_record_of_the_same_experiment_and_data():
    RunRecord.create("tiny", config_fingerprint="c", data_fingerprint="other")
    assert run_to_continue(IDENTITY, kind="run", events=RunEvents()) is None


@pytest.mark.parametrize(
    ("code", "asked", "continues"),
    [
        (code_version(), 2, True),
        ("0123abcd", 2, False),
        ("0123abcd", 3, True),
    ],
    ids=["same code", "finished by other code", "more trials asked for"],
)
def test_a_finished_search_is_continued_unless_other_code_has_finished_it(code, asked, continues):
    RunRecord.create("tiny", **IDENTITY).update(
        state="finished", result={"num_trials": 2}, code_version=code
    )
    found = run_to_continue(
        IDENTITY,
        kind="search",
        events=RunEvents(),
        has_all=lambda result: result["num_trials"] >= asked,
    )
    assert (found is not None) == continues


@pytest.mark.parametrize(
    ("location", "stored"),
    [("s3://bucket/x", "s3://bucket/x"), ("s3://key:secret@bucket/x", None)],
)
def test_a_record_names_the_storage_but_holds_no_password(location, stored):
    config = tiny_experiment()
    runtime = config.runtime.model_copy(update={"storage_path": location})
    config = config.model_copy(update={"runtime": runtime})
    record = record_of_attempt(RunRecord.create("tiny", **IDENTITY), config, [])
    assert (record.storage, record.code_version) == (stored, code_version())
    assert record.reread() == record
