import json
from pathlib import Path

import pytest

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
