"""What a worker measures while it trains."""

import platform
import time

import pytest
import torch

from rnnlane.execution import sampling
from rnnlane.execution.sampling import sampled
from rnnlane.records.events import RunEvents
from rnnlane.training.group import WorkerGroup
from support.nvml import with_gpus
from support.tiny import tiny_experiment
from support.workers import in_worker_group


class Uses(RunEvents):
    def __init__(self):
        self.uses = []

    def system_use(self, use):
        self.uses.append(use)


def measured(*overrides, device="cpu", group=None, lasting_s=0.0):
    events = Uses()
    group = group or WorkerGroup(rank=0, world_size=1, device=torch.device(device))
    with sampled(tiny_experiment(*overrides), group, events=events):
        time.sleep(lasting_s)
    return events.uses


def test_a_worker_measures_its_machine_and_its_device(monkeypatch):
    with_gpus(monkeypatch)
    (use,) = measured(device="cuda:1")
    assert use.node == platform.node()
    assert "cpu_utilization_percentage" in use.machine
    assert use.devices["gpu_1_power_usage_watts"] == 70.0


def test_the_second_worker_of_a_machine_measures_its_device_alone(monkeypatch):
    with_gpus(monkeypatch)
    monkeypatch.setattr(sampling, "_is_first_of", lambda *_: False)
    (use,) = measured(device="cuda:1")
    assert use.machine == {}
    assert "gpu_1_utilization_percentage" in use.devices
    assert measured() == []


MACHINES = ("here", "there", "here")


def machines_measured(group):
    platform.node = lambda: MACHINES[group.rank]
    return [use.node for use in measured(group=group) if use.machine]


def test_the_first_worker_of_each_machine_measures_it():
    found = in_worker_group(len(MACHINES), machines_measured)
    assert found == [["here"], ["there"], []]


def test_a_machine_is_seen_that_is_lost_after_some_seconds():
    assert len(measured(lasting_s=1.5)) == 2


def test_where_nothing_is_wanted_nothing_is_sent():
    assert measured("tracking.system_metrics=false") == []


def test_a_block_that_fails_is_left_with_its_own_error():
    with (
        pytest.raises(ValueError, match="mine"),
        sampled(
            tiny_experiment(),
            WorkerGroup(0, 1, torch.device("cpu")),
            events=Uses(),
        ),
    ):
        raise ValueError("mine")
