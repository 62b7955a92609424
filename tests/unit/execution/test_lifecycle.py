"""How runs end: every end, and a driver that dies between any two steps."""

import contextlib
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from rnnlane.errors import DataError, JobError, ResourceError, TrackingError
from rnnlane.execution import leftovers, lifecycle
from rnnlane.execution.lifecycle import close_abandoned_runs, flattened, tracked_run
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.records.events import RunEvents
from rnnlane.records.results import Result
from rnnlane.tracking.links import Pages
from rnnlane.tracking.run import RunSpec
from support.leftovers import checkpoint_of

IDENTITY = {"config_fingerprint": "c", "data_fingerprint": "d"}
SPEC = RunSpec(name="x", predictor="m:C", class_names=())


class Killed(BaseException):
    """Stands for ``kill -9``: nothing of ours runs after it."""


@dataclass(frozen=True)
class Answer(Result):
    value: int
    is_tracked: bool = False


class Store:
    """A store and its trackers: status by run id, the run of each key, and where to die."""

    def __init__(self):
        self.uri = ""
        self.status: dict[str, str] = {}
        self.run_of: dict[str, str] = {}
        self.artifacts: list[list[str]] = []
        self.reason: str | None = None
        self.in_finish: BaseException | None = None
        self.after_creation: BaseException | None = None
        self.is_away = False

    def start(self, _config, _spec, *, outbox, resume_run_id):
        run_id = resume_run_id or f"run{len(self.status)}"
        self.status[run_id] = "RUNNING"
        self.run_of[outbox.parent.name] = run_id
        if self.after_creation is not None:
            raise self.after_creation
        return SimpleNamespace(
            run_id=run_id,
            tracking_uri=self.uri,
            pages=Pages(),
            log_artifacts=lambda folder: self.artifacts.append(
                sorted(file.name for file in folder.iterdir())
            ),
            log_datasets=lambda _datasets: None,
            finish=lambda status, reason=None: self.finish(run_id, status, reason),
        )

    def finish(self, run_id, status, reason):
        if self.in_finish is not None:
            raise self.in_finish
        self.reason = reason
        if not self.is_away:
            self.status[run_id] = status
        return not self.is_away

    def terminate(self, _uri, run_id, status, *, reason, log_folder):
        if self.is_away:
            raise TrackingError("away")
        if self.status[run_id] == "RUNNING":
            self.logs = [file.read_text() for file in log_folder.glob("*")]
            self.status[run_id] = status
            self.reason = reason


class Notes(RunEvents):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    store = Store()
    store.uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setattr(lifecycle, "send_outbox", lambda *_: 0)
    monkeypatch.setattr(lifecycle, "is_reachable", lambda _uri: not store.is_away)
    monkeypatch.setattr(lifecycle, "terminate_run", store.terminate)
    monkeypatch.setattr(lifecycle, "find_tagged", lambda _uri, _tag, key: store.run_of.get(key))
    return store


def run(store, notes, record, body, **options):
    config = SimpleNamespace(uri=store.uri)
    with (
        record.locked() as current,
        tracked_run(
            store.start, SPEC, config=config, record=current, events=notes, **options
        ) as tracked,
    ):
        return body(tracked)


def die_of(error):
    def body(_tracked):
        raise error

    return body


def conclude(tracked):
    return tracked.conclude(lambda is_tracked: Answer(1, is_tracked))


def only_record():
    [record] = all_records()
    return record


def test_a_run_that_ends_well_is_finished_with_its_result(store, notes):
    result = run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    assert result == Answer(1, is_tracked=True)
    record = only_record()
    assert (record.state, record.is_closed, record.run_id) == ("finished", True, "run0")
    assert record.result == {"value": 1, "is_tracked": True}
    assert store.status == {"run0": "FINISHED"}


def test_a_run_that_raises_has_failed_with_the_reason(store, notes):
    with pytest.raises(ValueError, match="no disk"):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(ValueError("no disk")))
    assert (only_record().state, only_record().is_closed) == ("failed", True)
    assert (store.status, store.reason) == ({"run0": "FAILED"}, "no disk")


def test_an_error_after_the_run_began_is_none_that_says_there_is_no_run(store, notes):
    error = DataError("damaged")
    assert error.exit_code == 2
    with pytest.raises(DataError):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(error))
    assert error.exit_code == 1
    assert DataError("another").exit_code == 2


@pytest.mark.parametrize(("is_resumable", "hints"), [(True, 1), (False, 0)])
def test_an_interrupted_run_is_killed(store, notes, is_resumable, hints):
    record = RunRecord.create("x", **IDENTITY)
    with pytest.raises(KeyboardInterrupt):
        run(store, notes, record, die_of(KeyboardInterrupt()), is_resumable=is_resumable)
    assert (only_record().state, only_record().is_closed) == ("killed", True)
    assert (store.status, store.reason) == ({"run0": "KILLED"}, "interrupted")
    assert sum("--resume" in note for note in notes.notes) == hints


def test_a_delivery_that_is_interrupted_leaves_a_finished_run(store, notes):
    store.in_finish = KeyboardInterrupt()
    result = run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    assert result == Answer(1, is_tracked=False)
    assert (only_record().state, only_record().result) == ("finished", result.as_dict())
    assert any("has not received everything" in note for note in notes.notes)
    close_abandoned_runs(store.uri)
    assert store.status == {"run0": "FINISHED"}
    assert (only_record().state, only_record().is_closed) == ("finished", True)


def test_a_store_that_is_away_at_the_end_leaves_a_finished_run(store, notes):
    def body(tracked):
        store.is_away = True
        return conclude(tracked)

    assert not run(store, notes, RunRecord.create("x", **IDENTITY), body).is_tracked
    assert (only_record().state, only_record().is_closed) == ("finished", True)


def test_a_failed_run_s_log_is_an_artifact_with_the_traceback_and_no_secret(store, notes):
    def body(tracked):
        tracked.events.stage("reading s3://me:hunter2@bucket")
        raise ValueError("cannot read s3://me:hunter2@bucket")

    with pytest.raises(ValueError, match="cannot read"):
        run(store, notes, RunRecord.create("x", **IDENTITY), body)
    assert store.artifacts == [["driver.log"]]
    [log] = (file.read_text() for file in (only_record().folder / "log").iterdir())
    assert "INFO rnnlane: reading s3://***@bucket ..." in log
    assert "Traceback (most recent call last):" in log
    assert log.endswith("ValueError: cannot read s3://***@bucket\n")
    assert "hunter2" not in log


def test_the_log_of_a_driver_that_was_killed_is_logged_by_the_next_command(store, notes):
    def body(tracked):
        tracked.events.note("epoch 1 was worth it")
        raise Killed

    store.in_finish = Killed()
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), body)
    close_abandoned_runs(store.uri)
    [log] = store.logs
    assert "epoch 1 was worth it" in log


def test_the_log_of_a_finished_run_goes_with_the_other_copies_of_what_was_logged(store, notes):
    run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    assert store.artifacts == [["driver.log"]]
    assert not (only_record().folder / "log").exists()


@pytest.mark.parametrize("error", [Killed(), OSError("disk full")])
def test_a_result_that_is_written_stays_whatever_happens_in_delivery(store, notes, error):
    store.in_finish = error
    with pytest.raises(type(error)):
        run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    assert only_record().result == {"value": 1, "is_tracked": False}
    close_abandoned_runs(store.uri)
    assert (only_record().state, store.status) == ("finished", {"run0": "FINISHED"})


def test_a_second_interrupt_while_the_first_is_logged_leaves_no_run_running(store, notes):
    store.in_finish = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(KeyboardInterrupt()))
    assert store.status == {"run0": "RUNNING"}
    close_abandoned_runs(store.uri)
    assert (only_record().state, store.status) == ("killed", {"run0": "KILLED"})


def test_the_runs_of_seeds_end_before_the_whole_as_they_do_where_their_driver_lives(
    store, notes, monkeypatch
):
    whole = RunRecord.create("x", **IDENTITY)
    of_seed = RunRecord.create("x-seed-0", **IDENTITY, parent=whole.key)
    store.in_finish = Killed()
    for record in (whole, of_seed):
        with pytest.raises(Killed):
            run(store, notes, record, conclude)
    ended, terminate = [], store.terminate

    def remembered(uri, run_id, status, **options):
        ended.append(run_id)
        terminate(uri, run_id, status, **options)

    monkeypatch.setattr(lifecycle, "terminate_run", remembered)
    close_abandoned_runs(store.uri)
    assert ended == [of_seed.reread().run_id, whole.reread().run_id] == ["run1", "run0"]


def test_an_error_whose_end_was_not_logged_is_a_failure_later(store, notes):
    store.in_finish = Killed()
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(ValueError()))
    close_abandoned_runs(store.uri)
    assert (only_record().state, store.status) == ("failed", {"run0": "FAILED"})


def test_a_driver_killed_before_it_knew_the_id_of_its_run_leaves_none_running(store, notes):
    store.after_creation = Killed()
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    assert only_record().run_id is None
    close_abandoned_runs(store.uri)
    assert (only_record().run_id, only_record().state) == ("run0", "killed")
    assert store.status == {"run0": "KILLED"}


def test_resume_goes_on_with_the_run_whose_id_was_never_written(store, notes):
    store.after_creation = Killed()
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    store.after_creation = None
    run(store, notes, only_record(), conclude)
    assert store.status == {"run0": "FINISHED"}


def test_a_record_whose_run_was_never_created_is_removed(store):
    record = RunRecord.create("x", **IDENTITY)
    record.update(tracking_uri=store.uri.removeprefix("sqlite:///"))
    close_abandoned_runs(store.uri)
    assert all_records() == []


def test_a_run_refused_before_it_starts_leaves_nothing(store):
    record = RunRecord.create("x", **IDENTITY)
    with pytest.raises(JobError), record.locked():
        raise JobError("too few CPUs")
    assert not record.folder.exists()


def test_a_run_that_is_worked_on_is_left_alone(store, notes):
    def body(tracked):
        close_abandoned_runs(store.uri)
        assert store.status == {"run0": "RUNNING"}
        return conclude(tracked)

    run(store, notes, RunRecord.create("x", **IDENTITY), body)


def test_runs_of_another_store_are_left_alone(store, notes):
    store.in_finish = Killed()
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    close_abandoned_runs("http://elsewhere")
    assert not only_record().is_closed


def test_inputs_count_as_logged_only_when_they_were(store, notes):
    def write(folder):
        (folder / "experiment.yaml").write_text("name: x")

    def die_half_way(tracked):
        def half(folder):
            (folder / "experiment.yaml").write_text("na")
            raise Killed

        tracked.log_inputs(half)

    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_half_way)
    assert store.artifacts == [["driver.log"]]

    def body(tracked):
        tracked.log_inputs(write)
        tracked.log_inputs(write)
        inputs = tracked.record.folder / "inputs"
        assert (inputs / "experiment.yaml").read_text() == "name: x"
        return conclude(tracked)

    run(store, notes, only_record(), body)
    assert store.artifacts[1:-1] == [["experiment.yaml"]]


def test_params_are_flat():
    assert flattened({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
    # MLflow refuses keys with a dollar sign.
    weights = {"training": {"class_weights": {"$x": 2.0}}}
    assert flattened(weights) == {"training.class_weights": {"$x": 2.0}}


@pytest.mark.parametrize(
    ("body", "state", "status"),
    [(conclude, "finished", "FINISHED"), (die_of(Killed()), "running", "KILLED")],
)
def test_a_refused_resume_leaves_the_run_as_it_was_and_in_its_store(
    store, notes, tmp_path, body, state, status
):
    with contextlib.suppress(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), body)
    if state == "running":
        # kill -9 leaves neither an end in the store nor one in the record.
        store.status["run0"] = "RUNNING"
        only_record().update(state="running", is_closed=False)
    first, before = store.uri, only_record().tracking_uri
    store.uri = f"sqlite:///{tmp_path / 'other.db'}"

    def refuse(*_, **__):
        raise TrackingError("no such run")

    store.start = refuse
    with pytest.raises(TrackingError):
        run(store, notes, only_record(), conclude)
    assert (only_record().state, only_record().tracking_uri) == (state, before)
    close_abandoned_runs(first)
    assert store.status == {"run0": status}
    assert only_record().is_closed


def test_an_abandoned_run_is_held_while_its_outbox_is_sent(store, notes, monkeypatch):
    with contextlib.suppress(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(Killed()))
    only_record().update(state="running", is_closed=False)

    def send(*_):
        with pytest.raises(JobError), only_record().locked(timeout_s=0.0):
            pass
        return 3

    monkeypatch.setattr(lifecycle, "send_outbox", send)
    assert close_abandoned_runs(store.uri) == 3


def test_the_result_after_an_incomplete_delivery_is_described_again(store, notes):
    store.is_away = True
    described = []

    def body(tracked):
        return tracked.conclude(lambda is_tracked: described.append(is_tracked) or Answer(7))

    run(store, notes, RunRecord.create("x", **IDENTITY), body)
    assert described == [False, False]


def test_a_finished_run_keeps_nothing_that_only_an_unfinished_one_needs(store, notes):
    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)
    run(store, notes, record, conclude)
    assert not checkpoint.exists()
    assert only_record().is_tidy


@pytest.mark.parametrize("body", [die_of(KeyboardInterrupt()), die_of(ValueError())])
def test_a_run_that_can_be_resumed_keeps_its_checkpoints(store, notes, body):
    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)
    with pytest.raises((KeyboardInterrupt, ValueError)):
        run(store, notes, record, body)
    close_abandoned_runs(store.uri)
    assert checkpoint.exists()


@pytest.mark.parametrize("dies", ["before delivery", "after delivery", "as it removes"])
def test_checkpoints_go_with_the_next_command_if_the_driver_dies(store, notes, monkeypatch, dies):
    def die(*_, **__):
        raise Killed

    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)
    with monkeypatch.context() as patch:
        if dies == "before delivery":
            store.in_finish = Killed()
        elif dies == "after delivery":
            patch.setattr(lifecycle, "tidy", die)
        else:
            patch.setattr(leftovers, "open_storage_path", die)
        with pytest.raises(Killed):
            run(store, notes, record, conclude)
    assert checkpoint.exists()
    store.in_finish = None
    close_abandoned_runs(store.uri)
    assert not checkpoint.exists()
    assert only_record().is_tidy
    assert store.status == {"run0": "FINISHED"}


def test_checkpoints_stay_until_the_store_has_the_model(store, notes, monkeypatch):
    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)

    def body(tracked):
        store.is_away = True
        tracked.record.outbox.mkdir()
        (tracked.record.outbox / "outbox.db").touch()
        return conclude(tracked)

    run(store, notes, record, body)
    close_abandoned_runs(store.uri)
    assert checkpoint.exists()
    store.is_away = False
    monkeypatch.setattr(
        lifecycle, "send_outbox", lambda _uri, outbox: (outbox / "outbox.db").unlink() or 1
    )
    assert not only_record().result["is_tracked"]
    assert close_abandoned_runs(store.uri) == 1
    assert not checkpoint.exists()
    assert only_record().result["is_tracked"]


def test_a_resumed_search_is_tidied_again(store, notes):
    record = RunRecord.create("x", **IDENTITY)
    run(store, notes, record, conclude)

    def body(tracked):
        assert not tracked.record.is_tidy
        checkpoint_of(tracked.record)
        return conclude(tracked)

    run(store, notes, only_record(), body)
    assert not (only_record().folder.parents[1] / "checkpoints" / record.key).exists()


def test_a_store_that_is_away_is_asked_once(store, notes, monkeypatch):
    for _ in range(3):
        run(store, notes, RunRecord.create("x", **IDENTITY), conclude)
    asked = []

    def send(uri, _outbox):
        asked.append(uri)
        raise TrackingError("away" if store.is_away else "no such run")

    for record in all_records():
        record.outbox.mkdir()
        (record.outbox / "outbox.db").touch()
    monkeypatch.setattr(lifecycle, "send_outbox", send)
    assert close_abandoned_runs(store.uri) == 0
    assert len(asked) == 3
    asked.clear()
    store.is_away = True
    assert close_abandoned_runs(store.uri) == 0
    assert asked == [store.uri]


FULL = OSError(28, "No space left on device")


def test_a_full_disk_fails_the_run_in_one_line_that_names_the_disk(store, notes):
    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)
    with pytest.raises(ResourceError, match="no space left on the disk /") as refused:
        run(store, notes, record, die_of(FULL))
    assert refused.value.where == str(record.folder)
    assert (only_record().state, store.status) == ("failed", {"run0": "FAILED"})
    assert "no space left" in store.reason
    assert checkpoint.exists()
    assert not (record.folder / "reserve").exists()
    store.reason = None
    run(store, notes, only_record(), conclude)
    assert store.status == {"run0": "FINISHED"}


class Disk:
    """A disk on which records can be written only once the reserve was removed."""

    def __init__(self, monkeypatch, *, room_in_reserve):
        self.is_full = False
        self._writes = RunRecord._write
        self._has_reserve = room_in_reserve
        monkeypatch.setattr(RunRecord, "_write", lambda record: self.write(record))  # noqa: PLW0108

    def write(self, record):
        reserve = record.folder / "reserve"
        if self.is_full and (reserve.exists() or not self._has_reserve):
            raise ResourceError("no space left on the disk /")
        self._writes(record)


def test_the_end_of_a_run_is_recorded_in_the_reserve(store, notes, monkeypatch):
    disk = Disk(monkeypatch, room_in_reserve=True)

    def body(_tracked):
        disk.is_full = True
        raise FULL

    with pytest.raises(ResourceError):
        run(store, notes, RunRecord.create("x", **IDENTITY), body)
    assert (only_record().state, store.status) == ("failed", {"run0": "FAILED"})


def test_a_disk_without_any_room_still_gives_the_one_line(store, notes, monkeypatch):
    disk = Disk(monkeypatch, room_in_reserve=False)

    def body(_tracked):
        disk.is_full = True
        raise FULL

    with pytest.raises(ResourceError, match="no space left"):
        run(store, notes, RunRecord.create("x", **IDENTITY), body)
    assert "is not recorded yet" in notes.notes[-1]
    disk.is_full = False
    close_abandoned_runs(store.uri)
    assert only_record().is_closed
    assert store.status["run0"] != "RUNNING"


def test_a_run_whose_outbox_is_damaged_goes_on_and_logs_its_inputs_again(store, notes, caplog):
    with pytest.raises(Killed):
        run(store, notes, RunRecord.create("x", **IDENTITY), die_of(Killed()))
    record = only_record().update(state="running", is_closed=False, has_inputs=True)
    record.outbox.mkdir()
    (record.outbox / "outbox.db").write_bytes(b"no database" * 100)

    def body(tracked):
        assert not tracked.record.has_inputs
        return conclude(tracked)

    run(store, notes, record, body)
    [message] = [message for message in caplog.messages if "damaged" in message]
    assert record.key in message
    assert store.status == {"run0": "FINISHED"}


def test_a_finished_run_whose_outbox_is_damaged_can_be_resumed(store, notes, caplog):
    record = RunRecord.create("x", **IDENTITY)
    checkpoint = checkpoint_of(record)

    def body(tracked):
        store.is_away = True
        tracked.record.outbox.mkdir()
        (tracked.record.outbox / "outbox.db").write_bytes(b"no database" * 100)
        return conclude(tracked)

    run(store, notes, record, body)
    store.is_away = False
    store.status["run0"] = "RUNNING"
    for _ in range(2):
        close_abandoned_runs(store.uri)
    assert len([message for message in caplog.messages if "damaged" in message]) == 1
    assert (only_record().state, store.status) == ("failed", {"run0": "FAILED"})
    assert checkpoint.exists()
    run(store, notes, only_record(), conclude)
    assert (only_record().state, store.status) == ("finished", {"run0": "FINISHED"})
    assert not checkpoint.exists()
