import pytest
import torch

from rnnlane.errors import CheckpointError
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.in_process import _LocalEvents, train_in_process
from rnnlane.records.events import RunEvents
from support.events import Remembered
from support.tiny import tiny_data, tiny_experiment

SETTINGS = ("training.epochs=4", "training.checkpoint_every_s=1e-9", "training.clip.policy=auto")


class Epochs(RunEvents):
    """Counts epochs, and dies like a driver after some of them."""

    def __init__(self, die_after: int | None = None):
        self.histories: list[int] = []
        self._die_after = die_after

    def epoch(self, history):
        self.histories.append(len(history))
        if len(history) == self._die_after:
            raise KeyboardInterrupt


def run(store, events):
    return train_in_process(tiny_experiment(*SETTINGS), tiny_data(), store=store, events=events)


def test_a_run_that_died_goes_on_from_its_newest_checkpoint(tmp_path):
    whole = run(CheckpointStore(str(tmp_path / "whole")), Epochs())
    store = CheckpointStore(str(tmp_path / "cut"))
    with pytest.raises(KeyboardInterrupt):
        run(store, Epochs(die_after=2))
    rest = Epochs()
    resumed = run(store, rest)
    assert rest.histories == [2, 3, 4]
    for name, tensor in whole.weights.items():
        assert torch.equal(resumed.weights[name], tensor), name
    assert [p.name for p in sorted((tmp_path / "cut").iterdir())] == ["attempt-1", "attempt-2"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    store = CheckpointStore(str(tmp_path / "done"))
    first = run(store, Epochs())
    again = Epochs()
    assert run(store, again).history == first.history
    assert again.histories == [4]


def test_notes_reach_the_person_and_checkpoints_the_store(tmp_path):
    events, store = Remembered(), CheckpointStore(str(tmp_path))
    local = _LocalEvents(events, store)
    local.note("a sentence")
    local.checkpoint(lambda folder: (folder / "state.json").write_text("{}"))
    assert events.notes == ["a sentence"]
    assert (tmp_path / "attempt-1" / "checkpoint_000000" / "state.json").exists()


def test_a_checkpoint_that_cannot_be_used_is_named_by_its_store(tmp_path):
    store = CheckpointStore(str(tmp_path))
    text = '{"format": 99, "epoch": 1, "step": 1, "sizes": {}}'
    store.add("attempt-1", lambda folder: (folder / "state.json").write_text(text))
    with pytest.raises(CheckpointError, match="must be of format") as caught:
        run(store, Epochs())
    assert caught.value.where == str(tmp_path)
