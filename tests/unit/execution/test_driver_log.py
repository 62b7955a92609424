import logging
from dataclasses import replace

import pytest

from rnnlane.execution.driver_log import MAX_BYTES, DriverLog
from support.events import Remembered
from support.search_records import search, trial

EPOCH = {"epoch": 1.0, "train/loss": 0.123456789, "val/accuracy": 0.75, "grad_norm/mean": 3.0}


@pytest.fixture
def log(tmp_path):
    log = DriverLog(Remembered(), tmp_path / "log")
    log.open()
    yield log
    log.close()


def lines(log):
    """The messages, without times, after the line about the command."""
    text = (log.folder / "driver.log").read_text()
    return [line.split(" ", 1)[1] for line in text.splitlines() if " on " not in line]


def test_events_are_written_and_passed_on(log):
    log.stage("preparing")
    log.epoch([])
    log.epoch([EPOCH])
    log.note("no password of http://me:hunter2@host")
    assert lines(log) == [
        "INFO rnnlane: preparing ...",
        "INFO rnnlane: epoch 1: train/loss 0.123457, val/accuracy 0.75",
        "INFO rnnlane: no password of http://***@host",
    ]
    assert log._events.histories[-1] == [EPOCH]


def test_an_epoch_of_a_refit_is_written_as_such(log):
    log.epoch([EPOCH, {f"refit/{key}": value for key, value in EPOCH.items()}])
    assert lines(log) == ["INFO rnnlane: refit epoch 1: train/loss 0.123457, val/accuracy 0.75"]


def test_the_first_line_names_the_command(log):
    first = (log.folder / "driver.log").read_text().splitlines()[0]
    assert " INFO rnnlane: rnnlane " in first


def test_each_trial_is_written_when_it_ends_but_not_again_by_a_later_attempt(log):
    done = trial(0, 0.5, key="0", ended_at=1.0)
    running = trial(1, 0.6, {"model.num_layers": 2}, key="1", state="running")
    ended = replace(running, state="pruned", ended_at=9.0)
    for newest in (running, ended, ended):
        log.trial(search([done, newest]))
    assert lines(log) == [
        "INFO rnnlane: trial 1 pruned after epoch 4, val/accuracy 0.6 (model.num_layers=2)"
    ]


def test_warnings_of_libraries_are_written_and_still_printed(log, caplog):
    logging.getLogger("other.library").warning("slow")
    assert lines(log) == ["WARNING other.library: slow"]
    assert "slow" in caplog.text


def test_python_prints_warnings_to_stderr_as_before(tmp_path, monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    log = DriverLog(Remembered(), tmp_path / "log")
    log.open()
    logging.getLogger("ours").warning("what a person must see")
    log.close()
    assert root.handlers == []
    assert capsys.readouterr().err == "what a person must see\n"


def test_a_closed_log_stays_as_it_is_and_goes_on_with_the_next_attempt(log):
    log.note("first")
    log.close()
    log.note("between")
    logging.getLogger("ours").warning("between")
    again = DriverLog(Remembered(), log.folder)
    again.open()
    again.note("second")
    again.close()
    assert lines(log) == ["INFO rnnlane: first", "INFO rnnlane: second"]
    assert log._events.notes == ["first", "between"]


def test_of_a_long_log_the_newest_part_stays_in_two_files(log):
    for number in range(3):
        for _ in range(MAX_BYTES // 1000):
            log.note(f"{number}" * 1000)
    sizes = {file.name: file.stat().st_size for file in log.folder.iterdir()}
    assert sizes.keys() == {"driver.log", "driver.1.log"}
    assert all(0 < size <= MAX_BYTES for size in sizes.values())
    assert lines(log)[-1].endswith("2222")


def test_a_folder_that_cannot_be_written_costs_the_log_only(tmp_path):
    (tmp_path / "file").write_text("")
    log = DriverLog(Remembered(), tmp_path / "file" / "log")
    log.open()
    log.note("still passed on")
    log.close()
    assert not log.has_file
    assert log._events.notes == ["still passed on"]
