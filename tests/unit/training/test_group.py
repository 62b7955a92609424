import pytest
import torch

from rnnlane.errors import ConfigError, ResourceError
from rnnlane.training.group import WorkerGroup, in_process


def test_a_process_of_its_own_is_a_group_of_one():
    group = in_process("cpu")
    assert (group.rank, group.world_size, group.device.type) == (0, 1, "cpu")
    assert group.is_first
    assert not WorkerGroup(1, 2, group.device).is_first


@pytest.mark.parametrize(
    ("device", "has_gpu", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("gpu", True, "cuda"), ("cpu", True, "cpu")],
)
def test_auto_takes_a_gpu_if_there_is_one(monkeypatch, device, has_gpu, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert in_process(device).device.type == expected


def test_a_gpu_that_is_missing_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match=r"^runtime\.device: gpu needs a GPU") as refused:
        in_process("gpu")
    assert refused.value.where == "runtime.device"
    with pytest.raises(ResourceError, match=r"^device: gpu needs a GPU") as refused:
        in_process("gpu", where="device")
    assert refused.value.where == "device"


@pytest.mark.parametrize("device", ["cuda", "", None, torch.device("cpu")])
def test_a_device_that_is_none_of_three_is_an_error(device):
    with pytest.raises(
        ConfigError, match=r"^device: it must be one of auto, cpu, gpu, but got"
    ) as error:
        in_process(device, where="device")
    assert error.value.where == "device"


def test_a_group_of_one_exchanges_nothing():
    group, values = in_process("cpu"), torch.tensor([1.0, 2.0])
    group.copy_from_first_(values)
    assert group.sum_(values) is values
    assert values.tolist() == [1.0, 2.0]
