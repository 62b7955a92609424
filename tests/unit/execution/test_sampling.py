"""What a worker measures while it trains."""

import platform

import pytest
import torch

from rnnlane.execution.sampling import sampled
from rnnlane.records.events import RunEvents
from rnnlane.training.group import WorkerGroup
from support.nvml import with_gpus
from support.tiny import tiny_experiment


class Uses(RunEvents):
    def __init__(self):
        self.uses = []

    def system_use(self, use):
        self.uses.append(use)


def measured(*overrides, device="cpu", with_machine=True):
    events = Uses()
    group = WorkerGroup(rank=0, world_size=1, device=torch.device(device))
    with sampled(tiny_experiment(*overrides), group, events=events, with_machine=with_machine):
        pass
    return events.uses


def test_a_worker_measures_its_machine_and_its_device(monkeypatch):
    with_gpus(monkeypatch)
    (use,) = measured(device="cuda:1")
    assert use.node == platform.node()
    assert "cpu_utilization_percentage" in use.machine
    assert use.devices["gpu_1_power_usage_watts"] == 70.0


def test_the_second_worker_of_a_machine_measures_its_device_alone(monkeypatch):
    with_gpus(monkeypatch)
    (use,) = measured(device="cuda:1", with_machine=False)
    assert use.machine == {}
    assert "gpu_1_utilization_percentage" in use.devices


@pytest.mark.parametrize(
    ("overrides", "with_machine"), [((), False), (("tracking.system_metrics=false",), True)]
)
def test_where_nothing_is_wanted_nothing_is_sent(overrides, with_machine):
    assert measured(*overrides, with_machine=with_machine) == []


def test_a_block_that_fails_is_left_with_its_own_error():
    with (
        pytest.raises(ValueError, match="mine"),
        sampled(
            tiny_experiment(),
            WorkerGroup(0, 1, torch.device("cpu")),
            events=Uses(),
            with_machine=True,
        ),
    ):
        raise ValueError("mine")
