import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from rnnlane.data.batches.plan import PLAN_VERSION
from rnnlane.errors import CheckpointError
from rnnlane.training import checkpoint as checkpoint_module
from rnnlane.training.checkpoint import (
    BEST,
    CHECKSUMS,
    FORMAT,
    STATE,
    Checkpointer,
    contiguous_weights,
    is_complete,
)
from rnnlane.training.state import TrainState
from support.events import Remembered
from support.runs import trained


@pytest.fixture
def checkpoint(tmp_path):
    events = Remembered(tmp_path / "run")
    trained(events=events)
    return events.checkpoints[-1]


def test_a_damaged_checkpoint_is_known_and_refused(tmp_path, checkpoint):
    assert is_complete(checkpoint)
    cut = tmp_path / "cut"
    shutil.copytree(checkpoint, cut)
    (cut / "weights.safetensors").write_bytes((cut / "weights.safetensors").read_bytes()[:-7])
    assert not is_complete(cut)
    with pytest.raises(CheckpointError, match="checkpoint cannot be used"):
        trained(start=cut)


@pytest.mark.parametrize("name", [STATE, CHECKSUMS, "weights.safetensors", "records.safetensors"])
def test_a_flipped_bit_is_known(checkpoint, name):
    content = bytearray((checkpoint / name).read_bytes())
    content[-3] ^= 4
    (checkpoint / name).write_bytes(content)
    assert not is_complete(checkpoint)


def test_a_checkpoint_without_checksums_is_known_by_the_sizes_of_its_files(checkpoint):
    (checkpoint / CHECKSUMS).unlink()
    assert is_complete(checkpoint)
    (checkpoint / BEST).write_bytes((checkpoint / BEST).read_bytes()[:-1])
    assert not is_complete(checkpoint)


def test_a_checkpoint_of_another_shape_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="checkpoint cannot be used"):
        trained("model.hidden_size=7", start=checkpoint)


@pytest.mark.parametrize("number", [1, 99, None])
def test_a_checkpoint_of_another_format_is_refused_with_a_way_out(checkpoint, number):
    state = json.loads((checkpoint / STATE).read_text())
    assert state["format"] == FORMAT == 2
    (checkpoint / STATE).write_text(json.dumps(state | {"format": number}))
    with pytest.raises(CheckpointError, match="must be of format 2") as error:
        trained(start=checkpoint)
    assert "the version of rnnlane that wrote it" in str(error.value)


@pytest.mark.parametrize("number", [1, 99, None])
def test_a_checkpoint_of_another_batch_plan_is_refused_with_a_way_out(checkpoint, number):
    """Else the rest of the epoch would come from another plan: rows twice, and others never."""
    state = json.loads((checkpoint / STATE).read_text())
    assert state.pop("plan") == PLAN_VERSION
    other = {} if number is None else {"plan": number}  # before it was recorded it was 1
    (checkpoint / STATE).write_text(json.dumps(state | other))
    with pytest.raises(CheckpointError, match=f"plan {number or 1} and this .* plan 2") as error:
        trained(start=checkpoint)
    assert "the version of rnnlane that wrote it" in str(error.value)


def test_a_checkpoint_is_due_when_the_last_one_is_too_old(tmp_path, monkeypatch):
    clock = iter([100.0, 160.0, 160.5, 161.0, 221.0])
    monkeypatch.setattr(checkpoint_module, "time", SimpleNamespace(perf_counter=clock.__next__))
    model, events = torch.nn.Linear(2, 3), Remembered(tmp_path)
    optimizer = torch.optim.SGD(model.parameters())
    checkpointer = Checkpointer(model, optimizer, events, every_s=60.0)
    assert not checkpointer.is_due()
    assert checkpointer.is_due()
    checkpointer.save(TrainState(), None)
    assert not is_complete(tmp_path)
    assert is_complete(events.checkpoints[0])
    assert not (events.checkpoints[0] / BEST).exists()
    assert not checkpointer.is_due()


def test_weights_are_a_copy():
    model = torch.nn.Linear(2, 3)
    weights = contiguous_weights(model)
    before = weights["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(weights["weight"], before)
