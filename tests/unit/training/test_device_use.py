"""The use of a GPU, with NVML replaced: no machine that runs these tests needs one."""

import sys
from types import SimpleNamespace

import pytest
import torch

from rnnlane.training.device_use import DeviceUse, device_use, load_nvml
from support.nvml import UUIDS, with_gpus

CUDA = torch.device("cuda", 0)
BUSY = {
    "gpu_0_utilization_percentage": 87.0,
    "gpu_0_memory_usage_megabytes": 20_000.0,
    "gpu_0_memory_usage_percentage": 25.0,
    "gpu_0_power_usage_watts": 350.0,
    "gpu_0_power_usage_percentage": 50.0,
}


def test_a_gpu_tells_its_use_in_percent_megabytes_and_watts(monkeypatch):
    with_gpus(monkeypatch)
    assert device_use(CUDA)() == BUSY


def test_a_gpu_has_the_number_of_the_machine_and_not_that_of_the_process(monkeypatch):
    with_gpus(monkeypatch, visible=(1,))
    values = device_use(torch.device("cuda"))()
    assert values["gpu_1_power_usage_watts"] == 70.0
    assert not [key for key in values if key.startswith("gpu_0")]


def test_what_a_device_does_not_tell_is_left_out(monkeypatch):
    with_gpus(monkeypatch).refused = {"utilization", "power"}
    assert device_use(CUDA)() == {key: BUSY[key] for key in BUSY if "memory" in key}


def test_a_device_that_nvml_does_not_know_has_no_metrics(monkeypatch):
    with_gpus(monkeypatch)
    part = SimpleNamespace(uuid=UUIDS[0].replace("5e", "ff"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: part)
    assert device_use(CUDA) is None


@pytest.mark.parametrize("device", ["cpu", "meta", "cuda"])
def test_without_a_gpu_or_nvml_there_is_nothing_to_measure(monkeypatch, device):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert device_use(torch.device(device)) is None
    assert load_nvml() is None


def test_mlflow_measures_the_same_under_the_same_names(monkeypatch):
    from mlflow.system_metrics.metrics import gpu_monitor

    nvml = with_gpus(monkeypatch)
    monkeypatch.setattr(gpu_monitor, "pynvml", nvml, raising=False)
    monitor = gpu_monitor.GPUMonitor()
    monitor.collect_metrics()
    ours = DeviceUse(nvml, 0)() | DeviceUse(nvml, 1)()
    assert ours == pytest.approx(monitor.aggregate_metrics())
