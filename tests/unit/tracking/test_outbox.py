from __future__ import annotations

import math
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rnnlane.errors import ResourceError
from rnnlane.tracking.outbox import (
    DATABASE_NAME,
    Outbox,
    OutboxUnavailableError,
    Record,
    has_records,
    is_spent,
    set_aside_if_damaged,
)

STORE = "http://host:5000"


def add(outbox: Outbox, step: int, **values: Any) -> Record:
    content = {"step": step, "values": values}
    return outbox.append("metrics", content, run_id="run", time_ms=1_700_000_000_000 + step)


def reopened(outbox: Outbox) -> Outbox:
    outbox.close()
    return Outbox(outbox.folder, store=STORE)


def test_records_survive_reopening_in_order_and_bit_by_bit(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    written = [add(outbox, 1, loss=0.1), add(outbox, 2, loss=math.inf)]
    assert reopened(outbox).pending() == written


def test_nan_survives_reopening(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    add(outbox, 1, loss=math.nan)
    assert math.isnan(reopened(outbox).pending()[0].content["values"]["loss"])


def test_a_record_is_on_the_disk_before_append_returns(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from rnnlane.tracking.outbox import Outbox;"
        "outbox = Outbox(Path(sys.argv[1]), store=sys.argv[2]);"
        "[outbox.append('tags', {'n': n}, run_id='run', time_ms=n) for n in range(3)];"
        "outbox.mark_sent(outbox.head()); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(tmp_path), STORE]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    outbox = Outbox(tmp_path, store=STORE)
    assert [record.content for record in outbox.pending()] == [{"n": 1}, {"n": 2}]
    outbox.close()


def test_a_record_of_a_trial_that_has_no_run_yet_survives_reopening(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    content = {"name": "trial 1", "tags": {"a": "b"}, "params": {"model.cell": "lstm"}}
    written = outbox.append("create", content, run_id="0123abcd/trial/1", time_ms=5)
    assert reopened(outbox).pending() == [written]


def test_a_sent_record_is_not_pending_after_reopening(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    first, second = add(outbox, 1), add(outbox, 2)
    assert outbox.head() == first
    outbox.mark_sent(first)
    assert reopened(outbox).pending() == [second]


def test_a_half_written_last_record_is_dropped_wherever_it_breaks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "whole", store=STORE)
    log = outbox.folder / f"{DATABASE_NAME}-wal"
    first = add(outbox, 1, loss=0.5)
    num_bytes_before = log.stat().st_size
    add(outbox, 2, loss=0.25)
    num_bytes = log.stat().st_size
    assert num_bytes > num_bytes_before
    for end in [*range(num_bytes_before, num_bytes, 500), num_bytes - 1]:
        folder = tmp_path / str(end)
        shutil.copytree(outbox.folder, folder)
        with (folder / log.name).open("r+b") as file:
            file.truncate(end)
        broken = Outbox(folder, store=STORE)
        assert broken.pending() == [first]
        third = add(broken, 3)
        assert third.number == 2
        broken = reopened(broken)
        assert broken.pending() == [first, third]
        broken.close()
    outbox.close()


def test_a_number_is_not_given_twice(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    add(outbox, 1)
    for number in (2, 3):
        assert add(outbox, number).number == number
        outbox.mark_sent(outbox.pending()[-1])
        outbox = reopened(outbox)
    outbox.close()


def test_times_rise_however_quick_the_writer_or_wrong_the_clock(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    for now in (1000, 1000, 1000, 400, 2000):
        outbox.append("tags", {}, run_id="run", time_ms=now)
    assert [record.time_ms for record in outbox.pending()] == [1000, 1001, 1002, 1003, 2000]


def test_threads_may_write_and_mark_at_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    writers = [
        threading.Thread(target=lambda: [add(outbox, step) for step in range(25)]) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    numbers: list[int] = []
    while len(numbers) < 100:
        if (record := outbox.head()) is not None:
            numbers.append(record.number)
            outbox.mark_sent(record)
    assert numbers == list(range(1, 101))
    outbox.close()


def test_closing_an_empty_outbox_removes_database_and_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    outbox.files.mkdir()
    (outbox.files / "model").write_text("x")
    outbox.mark_sent(record)
    outbox.close()
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["lock"])


def test_closing_with_pending_records_keeps_database_and_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    add(outbox, 1)
    outbox.files.mkdir()
    outbox.close()
    assert (tmp_path / DATABASE_NAME).exists()
    assert outbox.files.exists()


def test_rejected_records_are_kept_with_the_reason_and_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    first, second = add(outbox, 1), add(outbox, 2)
    outbox.mark_rejected(first, reason="run was deleted")
    assert outbox.head() == second
    outbox = reopened(outbox)
    assert outbox.counts() == (1, 1)
    assert outbox.head() == second
    outbox.mark_sent(second)
    outbox.close()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database:
        rows = database.execute("SELECT number, reason FROM records").fetchall()
    assert rows == [(first.number, "run was deleted")]


def test_an_abandoned_sender_changes_nothing_after_closing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    outbox.close()
    outbox.mark_sent(record)
    outbox.mark_rejected(record, reason="late")
    again = Outbox(tmp_path, store=STORE)
    assert again.pending() == [record]
    assert again.counts() == (1, 0)
    assert outbox.head() is None


def test_a_second_process_is_refused_until_the_first_one_closes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rnnlane.tracking.outbox import Outbox;"
        "Outbox(Path(sys.argv[1]), store=sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(tmp_path), STORE]
    outbox = Outbox(tmp_path, store=STORE)
    assert (
        b"one process at a time" in subprocess.run(command, check=False, capture_output=True).stderr
    )
    outbox.close()
    subprocess.run(command, check=True)


def test_a_second_holder_in_the_same_process_is_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    with pytest.raises(OutboxUnavailableError, match="one process at a time"):
        Outbox(tmp_path, store=STORE)
    outbox.close()


def test_waiting_records_are_only_for_the_store_that_has_their_run(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    outbox.close()
    with pytest.raises(OutboxUnavailableError, match="1 records must go to http://host:5000"):
        Outbox(tmp_path, store="http://other")
    outbox = Outbox(tmp_path, store=STORE)
    assert outbox.pending() == [record]
    outbox.mark_sent(record)
    outbox.close()
    Outbox(tmp_path, store="http://other").close()


def test_an_unreadable_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(OutboxUnavailableError, match="file is not a database"):
            Outbox(tmp_path, store=STORE)
    assert (tmp_path / DATABASE_NAME).read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"x" * 8000])
def test_a_damaged_file_is_set_aside_with_its_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(content)
    target = set_aside_if_damaged(tmp_path)
    assert target is not None
    assert target.read_bytes() == content
    assert not has_records(tmp_path)
    assert not is_spent(tmp_path)
    Outbox(tmp_path, store=STORE).close()


def test_a_sound_outbox_an_empty_one_and_one_in_use_are_not_damaged(tmp_path: Path) -> None:
    assert set_aside_if_damaged(tmp_path / "none") is None
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    assert set_aside_if_damaged(tmp_path) is None
    outbox.close()
    assert set_aside_if_damaged(tmp_path) is None
    assert has_records(tmp_path)
    assert Outbox(tmp_path, store=STORE).pending() == [record]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / DATABASE_NAME).touch()
    assert set_aside_if_damaged(tmp_path / "empty") is None


def test_an_outbox_without_records_is_spent(tmp_path: Path) -> None:
    Outbox(tmp_path, store=STORE).close()
    assert not has_records(tmp_path)
    assert is_spent(tmp_path)


def test_a_file_that_may_not_grow_is_named_too(tmp_path: Path) -> None:
    """What SQLite calls a disk I/O error, as a limit on the size of files causes it."""
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
        with pytest.raises(ResourceError, match="disk I/O error") as refused:
            outbox.append("tags", {"a": "x" * 100_000}, run_id="r", time_ms=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, was)
    assert refused.value.where == str(tmp_path)
    assert outbox.pending() == [record]
    outbox.close()


def test_a_full_disk_is_named_and_the_records_stay(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    # SQLite's own limit on the size of a file raises what a full disk raises.
    pages = outbox._database.execute("PRAGMA page_count").fetchone()[0]
    outbox._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ResourceError, match="no space left on the disk /") as refused:
        outbox.append("tags", {"a": "x" * 10_000}, run_id="r", time_ms=1)
    assert refused.value.where == str(tmp_path)
    assert outbox.pending() == [record]
    outbox.close()
