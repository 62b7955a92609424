import json
from pathlib import Path

import pytest

from rnnlane.errors import ResourceError
from rnnlane.execution import checkpoint_store
from rnnlane.execution.checkpoint_store import CheckpointStore


def writer(epoch: int, step: int, content: bytes = b"weights"):
    def write(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)
        sizes = {"weights.safetensors": len(content)}
        (folder / "state.json").write_text(
            json.dumps({"epoch": epoch, "step": step, "sizes": sizes})
        )

    return write


@pytest.fixture(params=["path", "uri"])
def store(request, tmp_path):
    root = tmp_path / "checkpoints" / "run"
    return CheckpointStore(str(root) if request.param == "path" else root.as_uri())


def position(folder: Path) -> tuple[int, int]:
    state = json.loads((folder / "state.json").read_text())
    return state["epoch"], state["step"]


def test_an_empty_store_has_no_checkpoint_and_a_first_attempt(store, tmp_path):
    assert store.fetch_latest(tmp_path / "to") is None
    assert store.next_attempt() == "attempt-1"


def test_the_newest_checkpoint_is_the_furthest_whatever_its_attempt(store, tmp_path):
    store.add("attempt-1", writer(2, 5))
    store.add("attempt-2", writer(2, 3))
    assert position(store.fetch_latest(tmp_path / "to")) == (2, 5)
    store.add("attempt-2", writer(10, 0))
    assert position(store.fetch_latest(tmp_path / "to")) == (10, 0)
    assert store.next_attempt() == "attempt-3"


def test_a_checkpoint_that_was_cut_short_is_passed_over(store, tmp_path):
    store.add("attempt-1", writer(1, 0))
    store.add("attempt-1", writer(2, 0))
    root = tmp_path / "checkpoints" / "run" / "attempt-1"
    newest = sorted(root.iterdir())[-1]
    (newest / "weights.safetensors").write_bytes(b"wei")
    assert position(store.fetch_latest(tmp_path / "to")) == (1, 0)
    (newest / "state.json").write_text("{")
    assert position(store.fetch_latest(tmp_path / "to")) == (1, 0)


def test_an_attempt_without_a_checkpoint_leaves_no_folder(store, tmp_path):
    root = tmp_path / "checkpoints" / "run"
    (root / "attempt-1").mkdir(parents=True)
    (root / "attempt-1" / "snapshot.json").touch()
    store.add("attempt-2", writer(1, 0))
    for attempt in ("attempt-1", "attempt-2", "attempt-3"):
        store.discard_empty(attempt)
    assert [folder.name for folder in root.iterdir()] == ["attempt-2"]
    assert store.next_attempt() == "attempt-1"


def test_the_newest_two_are_kept(store, tmp_path):
    for step in range(5):
        store.add("attempt-1", writer(1, step))
    root = tmp_path / "checkpoints" / "run" / "attempt-1"
    assert sorted(position(folder)[1] for folder in root.iterdir()) == [3, 4]


def test_a_checkpoint_that_finds_no_room_leaves_the_older_ones(store, tmp_path, monkeypatch):
    store.add("attempt-1", writer(1, 0))

    def full(_source, target, **_options):
        (Path(target) / "half").write_bytes(b"half")
        raise OSError(28, "Error writing bytes: No space left on device")

    monkeypatch.setattr(checkpoint_store.fs, "copy_files", full)
    with pytest.raises(ResourceError, match="no space left on the disk /") as refused:
        store.add("attempt-1", writer(2, 0))
    monkeypatch.undo()
    folder = tmp_path / "checkpoints" / "run" / "attempt-1"
    assert refused.value.where == str(folder / "checkpoint_000001")
    assert [path.name for path in folder.iterdir()] == ["checkpoint_000000"]
    assert position(store.fetch_latest(tmp_path / "to")) == (1, 0)


@pytest.mark.parametrize("name", ["a%20b", "a?b", "a#b", "a@b", "a b", "été", "a\nb", "a[b]"])
def test_any_name_of_a_folder_will_do(tmp_path, name):
    store = CheckpointStore(str(tmp_path / name / "run"))
    store.add("attempt-1", writer(3, 1))
    assert position(store.fetch_latest(tmp_path / "to")) == (3, 1)
    assert (tmp_path / name / "run" / "attempt-1").is_dir()
    store.delete()
    assert not (tmp_path / name / "run").exists()
