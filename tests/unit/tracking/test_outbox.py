from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnnlane.tracking.outbox import Outbox, OutboxUnavailableError, Record

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
    outbox = Outbox(tmp_path, store=STORE)
    add(outbox, 1, loss=0.5)
    assert (tmp_path / "journal.jsonl").read_bytes().count(b"\n") == 1


def test_a_record_of_a_trial_that_has_no_run_yet_survives_reopening(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    content = {"name": "trial 1", "tags": {"a": "b"}, "params": {"model.cell": "lstm"}}
    written = outbox.append("create", content, run_id="0123abcd/trial/1", time_ms=5)
    assert reopened(outbox).pending() == [written]


def test_what_was_marked_is_not_pending_after_reopening(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    first, second = add(outbox, 1), add(outbox, 2)
    assert outbox.head() == first
    outbox.mark_sent(first)
    assert reopened(outbox).pending() == [second]


def test_a_half_written_last_line_is_cut_off_wherever_it_breaks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    first = add(outbox, 1, loss=0.5)
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    add(outbox, 2, loss=0.25)
    both = path.read_bytes()
    for end in range(len(whole), len(both)):
        path.write_bytes(both[:end])
        outbox = reopened(outbox)
        assert outbox.pending() == [first]
        third = add(outbox, 3)
        assert third.number == 2
        outbox = reopened(outbox)
        assert outbox.pending() == [first, third]


def test_numbers_go_on_when_only_the_mark_is_left(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    outbox.mark_sent(add(outbox, 1))
    outbox.close()
    # A process killed while it cleaned up.
    (tmp_path / "sent").write_text("1")
    (tmp_path / "journal.jsonl").unlink(missing_ok=True)
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 2)
    assert reopened(outbox).pending() == [record]


def test_closing_an_empty_outbox_removes_journal_and_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    outbox.files.mkdir()
    (outbox.files / "model").write_text("x")
    outbox.mark_sent(record)
    outbox.close()
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["lock"])


def test_closing_with_pending_records_keeps_journal_and_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    add(outbox, 1)
    outbox.files.mkdir()
    outbox.close()
    assert (tmp_path / "journal.jsonl").exists()
    assert outbox.files.exists()


def test_rejected_records_are_kept_with_the_reason_and_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    first, second = add(outbox, 1), add(outbox, 2)
    outbox.mark_rejected(first, reason="run was deleted")
    assert outbox.head() == second
    outbox = reopened(outbox)
    assert outbox.num_rejected() == 1
    assert "run was deleted" in (tmp_path / "rejected.jsonl").read_text()


def test_a_sender_left_behind_changes_nothing_after_closing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, store=STORE)
    record = add(outbox, 1)
    outbox.close()
    outbox.mark_sent(record)
    outbox.mark_rejected(record, reason="late")
    again = Outbox(tmp_path, store=STORE)
    assert again.pending() == [record]
    assert again.num_rejected() == 0


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
