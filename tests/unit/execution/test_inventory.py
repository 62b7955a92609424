"""What is no longer needed, what stays, and that a second look decides before anything goes."""

import os

import pytest

from rnnlane.config.fingerprint import fingerprint
from rnnlane.data.in_use import LOCK_NAME, hold
from rnnlane.execution import inventory
from rnnlane.execution.inventory import Limits, disk_use, in_words, take_inventory
from rnnlane.execution.run_record import RunRecord, all_records
from support.leftovers import IDENTITY, aged, checkpoint_of, finished_run, prepared_data

NAMES = [f"{number:016x}" for number in range(4)]
NO_LIMIT = Limits()


class Owner:
    pass


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    return tmp_path / "home"


def killed_run(days: float = 0.0, **changes):
    record = finished_run(**{"state": "killed", "result": None, **changes})
    aged(record.folder / "run.json", days)
    return record


def listed(limits=NO_LIMIT):
    return {(item.kind, item.path): item for item in take_inventory(limits).leftovers}


def kept(limits=NO_LIMIT):
    return {item.path: item.why for item in take_inventory(limits).kept}


def remove_all(limits=NO_LIMIT):
    return [item.remove() for item in take_inventory(limits).leftovers]


def test_an_empty_home_has_nothing(home):
    assert take_inventory(NO_LIMIT).leftovers == ()
    assert take_inventory(NO_LIMIT).kept == ()
    assert not home.exists()


def test_the_checkpoints_of_a_finished_run_go_and_its_record_stays():
    record = finished_run()
    checkpoint_of(record, 1000)
    [item] = take_inventory(NO_LIMIT).leftovers
    assert (item.kind, item.path, item.num_bytes) == ("checkpoints", record.checkpoints, 1000)
    assert item.remove()
    assert take_inventory(NO_LIMIT).leftovers == ()
    assert all_records() == [record.update(is_tidy=True)]


def test_without_limits_no_run_goes_that_could_be_resumed(home):
    record = killed_run(days=1000)
    checkpoint = checkpoint_of(record)
    assert remove_all() == []
    assert checkpoint.exists()


def test_a_run_within_the_limits_goes_with_its_checkpoints_and_its_data():
    old, new = killed_run(days=31), killed_run(days=29)
    old.update(prepared=(NAMES[0], NAMES[1]))
    aged(old.folder / "run.json", 31)
    new = new.update(prepared=(NAMES[1],))
    aged(new.folder / "run.json", 29)
    checkpoints = {record.key: checkpoint_of(record, 1000) for record in (old, new)}
    data = [prepared_data(name) for name in NAMES[:2]]
    for folder in data:
        aged(folder / "manifest.json", 40)
    limits = Limits(older_than_s=30 * 86400)
    kinds = [item.kind for item in take_inventory(limits).leftovers]
    assert kinds == ["run", "prepared data"]
    assert remove_all(limits) == [True, True]
    assert all_records() == [new]
    assert [checkpoints[record.key].exists() for record in (old, new)] == [False, True]
    assert [folder.exists() for folder in data] == [False, True]


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        (Limits(keep=1), [True, True, False]),
        (Limits(keep=2), [True, False, False]),
        (Limits(keep=0), [True, True, True]),
        (Limits(older_than_s=86400.0 * 15, keep=1), [True, False, False]),
        (Limits(older_than_s=86400.0 * 5, keep=2), [True, False, False]),
    ],
)
def test_both_limits_must_allow_it(limits, gone):
    records = [killed_run(days=days) for days in (20, 10, 1)]
    remove_all(limits)
    assert [not record.folder.exists() for record in records] == gone


@pytest.mark.parametrize("change", [{}, {"state": "finished"}])
def test_a_run_that_is_not_wholly_delivered_stays(change):
    record = killed_run(days=99, **change)
    record.outbox.mkdir()
    (record.outbox / "outbox.db").touch()
    limits = Limits(keep=0)
    assert remove_all(limits) == []
    assert "has not received everything" in kept(limits)[str(record.folder)]


def test_a_run_whose_end_the_store_does_not_know_stays():
    record = killed_run(days=99, is_closed=False)
    assert remove_all(Limits(keep=0)) == []
    assert "does not know its end" in kept(Limits(keep=0))[str(record.folder)]


def test_a_run_that_is_worked_on_stays():
    record = RunRecord.create("x", **IDENTITY)
    with record.locked():
        assert remove_all(Limits(keep=0)) == []
        assert kept(Limits(keep=0))[str(record.folder)] == "in use by another process"


def test_a_run_that_was_resumed_after_it_was_listed_stays():
    record = killed_run(days=99)
    [item] = take_inventory(Limits(keep=0)).leftovers
    with record.locked():
        assert not item.remove()
    record.update(state="running", is_closed=False)
    assert not item.remove()
    assert record.folder.exists()


def test_a_record_whose_run_never_started_goes():
    record = RunRecord.create("x", **IDENTITY)
    [item] = take_inventory(NO_LIMIT).leftovers
    assert (item.kind, item.path) == ("run", str(record.folder))
    assert item.remove()
    assert all_records() == []


def test_data_that_no_run_names_goes():
    finished_run(prepared=(NAMES[0],))
    finished_run(data_fingerprint=NAMES[1])
    finished_run(data_fingerprint=fingerprint([NAMES[2]]))
    data = [prepared_data(name) for name in NAMES]
    for record in all_records():
        record.update(is_tidy=True)
    [item] = take_inventory(NO_LIMIT).leftovers
    assert (item.kind, item.path) == ("prepared data", str(data[3]))
    assert item.num_bytes > 500
    assert item.remove()
    assert [folder.exists() for folder in data] == [True, True, True, False]


def test_data_in_use_stays_whenever_that_began():
    data = prepared_data(NAMES[0])
    [item] = take_inventory(NO_LIMIT).leftovers
    owner = Owner()
    hold(data, owner=owner)
    assert not item.remove()
    assert kept() == {str(data): "in use by another process"}
    del owner
    finished_run(prepared=(NAMES[0],))
    assert not item.remove()
    assert (data / "manifest.json").exists()


def test_data_that_was_used_lately_stays_under_an_age_limit():
    data = prepared_data(NAMES[0])
    hold(data, owner=(owner := Owner()))
    del owner
    limits = Limits(older_than_s=3600)
    assert take_inventory(limits).leftovers == ()
    aged(data / LOCK_NAME, 1)
    assert [item.path for item in take_inventory(limits).leftovers] == [str(data)]


def test_drafts_go_a_day_later_and_the_data_they_stand_beside_stays(home):
    data = prepared_data(NAMES[0])
    finished_run(prepared=(NAMES[0],), is_tidy=True)
    beside = data / "data-20200102T000000Z-bbbbbbbbbbbb"
    beside.mkdir()
    alone = home / "prepared" / NAMES[1] / "data-20200102T000000Z-cccccccccccc"
    alone.mkdir(parents=True)
    young = home / "prepared" / NAMES[2] / "data-29990102T000000Z-dddddddddddd"
    young.mkdir(parents=True)
    assert set(listed()) == {("draft", str(beside)), ("draft", str(alone))}
    assert remove_all() == [True, True]
    assert (data / "manifest.json").exists()
    assert [path.exists() for path in (beside, alone.parent, young)] == [False, False, True]
    (data / "manifest.json").write_text("{")
    beside.mkdir()
    assert listed() == {}, "a damaged manifest does not tell which folder is the data"


def test_what_an_outbox_leaves_goes_once_everything_was_sent():
    record = killed_run()
    (record.outbox / "files").mkdir(parents=True)
    (record.outbox / "files" / "model").write_bytes(bytes(100))
    [item] = take_inventory(NO_LIMIT).leftovers
    assert (item.kind, item.num_bytes) == ("outbox", 100)
    (record.outbox / "outbox.db").touch()
    assert not item.remove()
    (record.outbox / "outbox.db").unlink()
    assert item.remove()
    assert record.folder.exists()


def test_the_sessions_of_our_own_rays_go_once_they_ended(tmp_path, monkeypatch):
    folder = tmp_path / "tmp" / "ray"
    names = [f"session_2026-01-02_03-04-0{digit}_123456_789" for digit in range(3)]
    for name in names:
        (folder / name / "logs").mkdir(parents=True)
    (folder / "session_latest").symlink_to(folder / names[0])
    owners = [Owner(), Owner()]
    hold(folder / names[0], owner=owners[0])
    hold(folder / names[1], owner=owners[1])
    del owners[1]
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: 12345)
        assert listed() == {}, "of another account"
    assert set(listed()) == {("Ray session", str(folder / names[1]))}
    assert remove_all() == [True]
    assert [(folder / name).exists() for name in names] == [True, False, True]


def test_copies_of_language_models_go_by_age_unless_they_are_in_use(home):
    folders = [home / "pretrained" / name for name in ("old", "new", "held")]
    for folder, days in zip(folders, (40, 1, 40), strict=True):
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(bytes(700))
        (folder / LOCK_NAME).touch()
        aged(folder / LOCK_NAME, days)
    assert listed() == {}
    assert set(kept()) == set(map(str, folders))
    owner = Owner()
    hold(folders[2], owner=owner)
    limits = Limits(older_than_s=30 * 86400)
    assert set(listed(limits)) == {("language model", str(folders[0]))}
    assert kept(limits) == {str(folders[2]): "in use by another process"}
    assert remove_all(limits) == [True]
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_what_rnnlane_does_not_know_is_named_and_stays(home):
    (home / "prepared" / "mine").mkdir(parents=True)
    (home / "runs" / "notes").mkdir(parents=True)
    (home / "checkpoints" / "x-00000000").mkdir(parents=True)
    (home / "thesis.txt").write_text("years")
    (home / "mlflow.db").touch()
    (home / "mlartifacts").mkdir()
    assert remove_all(Limits(keep=0)) == []
    assert kept() == {
        str(home / "thesis.txt"): "not rnnlane's",
        str(home / "runs" / "notes"): "not rnnlane's",
        str(home / "prepared" / "mine"): "not rnnlane's",
        str(home / "checkpoints" / "x-00000000"): "of no run that is known here",
    }


def test_links_are_not_followed(home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / NAMES[0]).mkdir(parents=True)
    (elsewhere / NAMES[0] / "manifest.json").write_text("{}")
    home.mkdir()
    (home / "prepared").symlink_to(elsewhere)
    assert remove_all(Limits(keep=0)) == []
    assert "a link" in kept()[str(home / "prepared")]


def test_a_removal_that_fails_says_so(monkeypatch):
    prepared_data(NAMES[0])

    def refuse(_folder):
        raise PermissionError(13, "no")

    monkeypatch.setattr(inventory.shutil, "rmtree", refuse)
    assert remove_all() == [False]


def test_disk_use_by_purpose(home):
    record = finished_run()
    checkpoint_of(record, 1000)
    prepared_data(NAMES[0], 500)
    (home / "mlflow.db").write_bytes(bytes(70))
    (home / "mlartifacts").mkdir()
    (home / "mlartifacts" / "model").write_bytes(bytes(7))
    os.symlink("/", home / "prepared" / "everything")
    use = disk_use()
    assert (use["checkpoints"], use["MLflow"]) == (1000, 77)
    assert 500 < use["prepared data"] < 700
    assert 0 < use["runs"] < 2000


@pytest.mark.parametrize(
    ("num_bytes", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1.7e12, "1.7 TB")]
)
def test_sizes_in_words(num_bytes, words):
    assert in_words(int(num_bytes)) == words
