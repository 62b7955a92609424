from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rnnlane.config.tracking import TrackingConfig
from rnnlane.tracking.datasets import DatasetInfo
from rnnlane.tracking.history import HistoryLog
from rnnlane.tracking.links import Pages
from rnnlane.tracking.outbox import Outbox, Record
from rnnlane.tracking.run import MlflowTracker, RunSpec, send_outbox
from rnnlane.tracking.sender import Sender

SPEC = RunSpec(name="run", predictor="module:Class", class_names=("neg", "pos"))


class Memory:
    """Stores records in memory, or is away, or refuses one kind."""

    def __init__(self, *, away: bool = False, refuses: str = ""):
        self.away = away
        self.refuses = refuses
        self.records: list[Record] = []

    def deliver(self, record: Record, *, again: bool) -> None:
        if self.away:
            raise ConnectionError
        if record.kind == self.refuses:
            raise ValueError
        self.records.append(record)

    def points(self) -> list[tuple[str, int, float]]:
        return [
            (key, record.content["step"], value)
            for record in self.records
            if record.kind == "metrics"
            for key, value in record.content["values"].items()
        ]


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., MlflowTracker]:
    def start(memory: Memory, logged: frozenset[tuple[str, int]] = frozenset()) -> MlflowTracker:
        config = TrackingConfig(uri="http://h", system_metrics=False, flush_timeout_s=0.05)
        sender = Sender(Outbox(tmp_path / "outbox", store="http://h"), memory)
        return MlflowTracker(
            "id",
            config=config,
            spec=SPEC,
            sender=sender,
            log=HistoryLog(logged),
            pages=Pages(),
        )

    return start


def test_history_given_whole_each_epoch_is_logged_once(
    start: Callable[..., MlflowTracker],
) -> None:
    memory = Memory()
    tracker = start(memory)
    history = [{"epoch": float(e), "train/loss": 1.0 / e, "val/loss": 2.0 / e} for e in (1, 2, 3)]
    for length in (1, 2, 2, 3):
        tracker.log_history(history[:length])
    assert tracker.finish("FINISHED")
    assert memory.points() == [
        (key, step, value)
        for step in (1, 2, 3)
        for key, value in (("train/loss", 1.0 / step), ("val/loss", 2.0 / step))
    ]


def test_one_epoch_is_one_call_to_the_store(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory)
    tracker.log_history([{"epoch": 1, "train/loss": 1.0, "val/loss": 2.0}])
    tracker.finish("FINISHED")
    assert [record.kind for record in memory.records] == ["metrics", "finish"]


def test_a_resumed_run_logs_only_what_it_lacks(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory, logged={("train/loss", 1), ("val/loss", 1), ("train/loss", 2)})
    tracker.log_history([{"epoch": e, "train/loss": 0.0, "val/loss": 0.5} for e in (1, 2)])
    tracker.finish("FINISHED")
    assert memory.points() == [("val/loss", 2, 0.5)]


def test_params_are_text_of_bounded_length(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory)
    tracker.log_params({"long": "x" * 7000, "none": None, "flag": True})
    tracker.log_params({})
    tracker.finish("FINISHED")
    contents = [dict(record.content) for record in memory.records if record.kind == "params"]
    assert contents == [{"long": "x" * 6000, "none": "None", "flag": "True"}]


def test_no_password_reaches_params_tags_or_reason(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory)
    secret = "http://me:hunter2@host"
    tracker.log_params({"tracking.uri": secret})
    tracker.set_tags({"where": secret})
    tracker.finish("FAILED", reason=f"cannot reach {secret}")
    assert "hunter2" not in repr(memory.records)
    assert memory.records[-2].content == {"rnnlane.reason": "cannot reach http://***@host"}


def test_no_password_reaches_the_source_of_a_data_set(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory)
    tracker.log_datasets([])
    tracker.log_datasets([DatasetInfo("x-val", "f", "val", "s3://me:hunter2@x", {"num_rows": 3})])
    tracker.finish("FINISHED")
    assert [record.kind for record in memory.records] == ["datasets", "finish"]
    assert "hunter2" not in repr(memory.records)


def test_writes_do_not_wait_for_a_store_that_is_away(start: Callable[..., MlflowTracker]) -> None:
    tracker = start(Memory(away=True))
    tracker.log_history([{"epoch": 1, "val/loss": 1.0}])
    tracker.set_tags({"a": "b"})
    assert not tracker.finish("FINISHED")


def test_records_written_during_an_outage_keep_their_times(
    start: Callable[..., MlflowTracker], tmp_path: Path
) -> None:
    tracker = start(Memory(away=True))
    tracker.log_history([{"epoch": 1, "val/loss": 1.0}])
    tracker.finish("KILLED")
    records = Outbox(tmp_path / "outbox", store="http://h").pending()
    assert [record.kind for record in records] == ["metrics", "finish"]
    assert 0 < records[0].time_ms <= records[1].time_ms
    assert records[1].content == {"status": "KILLED"}


def test_finish_reports_refused_records(
    start: Callable[..., MlflowTracker], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = start(Memory(refuses="tags"))
    tracker.set_tags({"a": "b"})
    assert not tracker.finish("FINISHED")
    assert "0 records wait for the tracking store and 1 were refused" in caplog.text


def test_refused_records_alone_need_no_store(
    start: Callable[..., MlflowTracker], tmp_path: Path
) -> None:
    tracker = start(Memory(refuses="tags"))
    tracker.set_tags({"a": "b"})
    tracker.finish("FINISHED")
    # Opening this store would raise.
    assert send_outbox("http://127.0.0.1:9", tmp_path / "outbox") == 0


def test_the_first_finish_counts(start: Callable[..., MlflowTracker]) -> None:
    memory = Memory()
    tracker = start(memory)
    assert tracker.finish("FINISHED")
    assert tracker.finish("FAILED", reason="afterwards")
    assert [record.content for record in memory.records] == [{"status": "FINISHED"}]


def test_a_missing_outbox_is_not_created(tmp_path: Path) -> None:
    assert send_outbox("http://127.0.0.1:9", tmp_path / "outbox") == 0
    assert not (tmp_path / "outbox").exists()


def test_an_outbox_of_an_older_version_is_reported_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journal.jsonl").write_text("{}\n")
    assert send_outbox("http://127.0.0.1:9", tmp_path) == 0
    assert f"{tmp_path} was written by rnnlane 0.1 and is not sent" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


def test_records_of_a_running_process_are_not_sent_by_another(
    start: Callable[..., MlflowTracker], tmp_path: Path
) -> None:
    tracker = start(Memory(away=True))
    tracker.set_tags({"a": "b"})
    assert send_outbox("http://h", tmp_path / "outbox") == 0
    assert not tracker.finish("FINISHED")


def test_records_are_not_sent_to_another_store(
    start: Callable[..., MlflowTracker], tmp_path: Path
) -> None:
    start(Memory(away=True)).finish("FINISHED")
    assert send_outbox("http://127.0.0.1:9", tmp_path / "outbox") == 0
    assert len(Outbox(tmp_path / "outbox", store="http://h").pending()) == 1


def test_importing_tracking_imports_neither_mlflow_nor_matplotlib() -> None:
    program = (
        "import sys, rnnlane.tracking.search, rnnlane.tracking.store,"
        "rnnlane.reports.figures; sys.exit('mlflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
