import json
import shutil

import pytest
import torch

from rnnlane.data.batches.plan import PLAN_VERSION
from rnnlane.errors import CheckpointError
from rnnlane.training.checkpoint import (
    BEST,
    CHECKSUMS,
    FORMAT,
    MIN_PAUSE,
    STATE,
    Checkpointer,
    copied_weights,
    is_complete,
    on_host,
)
from rnnlane.training.state import TrainState
from support.events import Clock, Remembered
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


def checkpointer_of(events, clock):
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(model.parameters())
    return Checkpointer(model, optimizer, events, every_s=60.0, clock=clock)


def test_within_an_epoch_a_checkpoint_is_due_when_the_last_one_is_too_old(tmp_path):
    clock, events = Clock(), Remembered(tmp_path)
    checkpointer = checkpointer_of(events, clock)
    clock.seconds += 60.0
    assert not checkpointer.is_due(ends_epoch=False)
    clock.seconds += 0.5
    assert checkpointer.is_due(ends_epoch=False)
    checkpointer.save(TrainState(), None)
    assert not is_complete(tmp_path)
    assert is_complete(events.checkpoints[0])
    assert not (events.checkpoints[0] / BEST).exists()
    assert not checkpointer.is_due(ends_epoch=False)


def test_at_an_epoch_s_end_a_checkpoint_is_due_if_it_takes_a_twentieth_of_the_time():
    clock = Clock()
    checkpointer = checkpointer_of(Remembered(clock=clock, write_s=0.5), clock)
    assert checkpointer.is_due(ends_epoch=True)  # what one takes is not known yet
    checkpointer.save(TrainState(), None)
    for passed_s, is_due in [(0.0, False), (9.5, False), (0.5, True), (50.0, True)]:
        clock.seconds += passed_s
        assert checkpointer.is_due(ends_epoch=True) == is_due
        assert not checkpointer.is_due(ends_epoch=False)
    assert MIN_PAUSE == 20


def test_a_slow_checkpoint_is_due_at_an_epoch_s_end_when_the_last_one_is_too_old():
    clock = Clock()
    checkpointer = checkpointer_of(Remembered(clock=clock, write_s=10.0), clock)
    checkpointer.save(TrainState(), None)
    clock.seconds += 60.0
    assert not checkpointer.is_due(ends_epoch=True)
    clock.seconds += 1.0
    assert checkpointer.is_due(ends_epoch=True)


def test_the_epochs_that_a_checkpoint_has_are_told_once_it_is_written(tmp_path):
    events = Remembered(tmp_path)
    record = {"epoch": 1.0}
    checkpointer_of(events, Clock()).save(TrainState(epoch=2, history=[record]), None)
    assert events.saved_histories == [[record]]

    def full(_write):
        raise OSError("no space")

    events.checkpoint = full
    with pytest.raises(OSError, match="no space"):
        checkpointer_of(events, Clock()).save(TrainState(), None)
    assert len(events.saved_histories) == 1


def test_weights_are_a_copy():
    model = torch.nn.Linear(2, 3)
    weights = copied_weights(model)
    before = weights["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(weights["weight"], before)
    assert on_host(weights)["weight"] is weights["weight"]


def test_copied_weights_stay_on_the_device_of_the_model_and_are_contiguous():
    model = torch.nn.Linear(2, 3, device="meta")
    model.weight = torch.nn.Parameter(model.weight.detach().T)
    copied = copied_weights(model)
    assert {tensor.device.type for tensor in copied.values()} == {"meta"}
    assert copied["weight"].is_contiguous()
    assert not model.weight.is_contiguous()
