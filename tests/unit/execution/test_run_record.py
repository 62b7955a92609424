import json
import shutil
import subprocess
import sys
import time

import pytest

from rnnlane.errors import ConfigError, JobError, ResourceError
from rnnlane.execution import run_record
from rnnlane.execution.run_record import RunRecord, all_records

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


DAMAGED = {
    "cut short": b"{",
    "not an object": b"[1]",
    "a number": b"7",
    "empty": b"",
    "not text": b"\xff\xfe\x00",
    "no key": b'{"state": "failed"}',
    "another state": b'{"key": "broken", "config_fingerprint": "c", "data_fingerprint": "d", '
    b'"created_at": 1.0, "state": "lost"}',
    "no time": b'{"key": "broken", "config_fingerprint": "c", "data_fingerprint": "d", '
    b'"created_at": "soon"}',
    "a copied folder": b'{"key": "x", "config_fingerprint": "c", "data_fingerprint": "d", '
    b'"created_at": 1.0}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_record_is_set_aside_and_said_once(home, caplog, content):
    record = RunRecord.create("x", **IDENTITY)
    broken = home / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_bytes(content)
    assert RunRecord.find(**IDENTITY) == record
    [message] = caplog.messages
    assert "the record of the run broken is damaged" in message
    assert "\n" not in message
    assert (home / "damaged" / "broken" / "run.json").read_bytes() == content
    assert all_records() == [record]
    assert len(caplog.messages) == 1


def test_damaged_records_of_one_name_do_not_replace_each_other(home):
    for content in ("{", "["):
        (home / "runs" / "broken").mkdir(parents=True)
        (home / "runs" / "broken" / "run.json").write_text(content)
        assert all_records() == []
    files = (home / "damaged").glob("*/run.json")
    assert sorted(file.read_text() for file in files) == ["[", "{"]


def test_a_folder_without_a_record_is_none_of_ours(home, caplog):
    record = RunRecord.create("x", **IDENTITY)
    (home / "runs" / "notes").mkdir()
    (home / "runs" / "notes" / "run.json").mkdir()
    (home / "runs" / "lost+found").mkdir()
    (home / "runs" / "file").touch()
    assert all_records() == [record]
    assert [message.split(" cannot")[0] for message in caplog.messages] == [
        str(home / "runs" / "notes" / "run.json")
    ]
    assert sorted(entry.name for entry in (home / "runs").iterdir()) == sorted(
        [record.key, "notes", "lost+found", "file"]
    )


def test_a_key_of_a_later_version_is_ignored(home):
    record = RunRecord.create("x", **IDENTITY)
    file = record.folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "color": "red"}))
    assert all_records() == [record]


def test_a_record_that_cannot_be_written_is_one_line_and_leaves_nothing(home, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record.os, "fsync", full)
    with pytest.raises(ResourceError, match="no space left on the disk /") as refused:
        RunRecord.create("x", **IDENTITY)
    assert str(home) in refused.value.where
    assert list((home / "runs").iterdir()) == []


def test_a_home_that_is_a_file_is_one_line(home):
    home.write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        RunRecord.create("x", **IDENTITY)
    with pytest.raises(ConfigError, match="is not a folder"):
        all_records()


def test_a_run_that_was_removed_meanwhile_is_not_worked_on():
    record = RunRecord.create("x", **IDENTITY)
    shutil.rmtree(record.folder)
    with pytest.raises(JobError, match="has just removed it"), record.locked():
        pass


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


UPKEEP = """
import sys
from rnnlane.execution.run_record import RunRecord
with RunRecord(sys.argv[1], "c", "d", 0.0).locked(is_upkeep=True):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_upkeep_by_another_process_is_waited_for_and_said():
    record = RunRecord.create("x", **IDENTITY)
    command = [sys.executable, "-c", UPKEEP, record.key]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(JobError, match="another one holds"), record.locked(timeout_s=0.0):
            pass
        notes = []

        def note(text):
            notes.append(text)
            other.stdin.write("end\n")
            other.stdin.flush()

        with record.locked(timeout_s=0.1, note=note):
            pass
    assert notes[0].startswith("waiting for another process, which sends")
    assert sorted(file.name for file in record.folder.iterdir()) == ["lock", "run.json"]


def test_a_process_killed_in_its_upkeep_keeps_nobody_waiting():
    record = RunRecord.create("x", **IDENTITY)
    (record.folder / "upkeep").touch()
    with (
        record.locked(note=pytest.fail),
        pytest.raises(JobError),
        record.locked(timeout_s=0.0, note=pytest.fail),
    ):
        pass


def test_who_holds_a_run_sees_it_as_it_is_on_disk():
    stale = RunRecord.create("x", **IDENTITY)
    newest = stale.update(state="finished", run_id="r")
    with stale.locked() as current:
        assert current == newest
