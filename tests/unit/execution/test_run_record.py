import subprocess
import sys
import time

import pytest

from rnnlane.errors import JobError
from rnnlane.execution.run_record import RunRecord

IDENTITY = {"config_fingerprint": "c", "data_fingerprint": "d"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_newest_run_of_the_same_experiment_and_data_is_found():
    assert RunRecord.find(**IDENTITY) is None
    first = RunRecord.create("x", **IDENTITY)
    time.sleep(0.01)
    second = RunRecord.create("x", **IDENTITY)
    RunRecord.create("x", config_fingerprint="other", data_fingerprint="d")
    RunRecord.create("x", config_fingerprint="c", data_fingerprint="other")
    assert first.key != second.key
    assert RunRecord.find(**IDENTITY) == second


def test_changes_are_on_disk():
    record = RunRecord.create("x", **IDENTITY)
    changed = record.update(state="finished", run_id="r", result={"a": 1})
    assert RunRecord.find(**IDENTITY) == changed
    assert changed.result == {"a": 1}


def test_a_run_that_mlflow_never_knew_is_discarded(home):
    record = RunRecord.create("x", **IDENTITY)
    record.discard_unstarted()
    assert list((home / "runs").iterdir()) == []
    started = RunRecord.create("x", **IDENTITY).update(run_id="r")
    started.discard_unstarted()
    assert RunRecord.find(**IDENTITY) == started


def test_a_damaged_record_is_passed_over(home):
    record = RunRecord.create("x", **IDENTITY)
    broken = home / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert RunRecord.find(**IDENTITY) == record


HOLD = """
import sys, time
from rnnlane.execution.run_record import RunRecord
with RunRecord(sys.argv[1], "c", "d", 0.0).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_works_on_a_run():
    record = RunRecord.create("x", **IDENTITY)
    command = [sys.executable, "-c", HOLD, record.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(JobError, match="another one holds"), record.locked(timeout_s=0.1):
            pass
        other.kill()
        other.wait()
        with record.locked():
            pass


def test_who_holds_a_run_sees_it_as_it_is_on_disk():
    stale = RunRecord.create("x", **IDENTITY)
    newest = stale.update(state="finished", run_id="r")
    with stale.locked() as current:
        assert current == newest
