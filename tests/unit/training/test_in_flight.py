"""The queue of launched steps, with steps that are not real."""

from dataclasses import dataclass, field

import pytest
import torch

from rnnlane.training.in_flight import STEPS_IN_FLIGHT, StepsInFlight, default_limit


@dataclass
class FakeResult:
    number: int
    save: bool = False


@dataclass
class FakeStep:
    """Writes down when its result is read."""

    number: int
    read: list[int] = field(default_factory=list)
    save: bool = False

    def result(self) -> FakeResult:
        self.read.append(self.number)
        return FakeResult(self.number, self.save)


def numbers(results):
    return [result.number for result in results]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_oldest_step_is_read_when_the_limit_is_exceeded(limit):
    queue, read = StepsInFlight(limit), []
    for number in range(8):
        queue.add(FakeStep(number, read))
        expected = [number - limit] if number >= limit else []
        assert numbers(queue.take_due()) == expected
    assert read == list(range(8 - limit))
    assert numbers(queue.take_all()) == list(range(8 - limit, 8))
    assert queue.take_all() == queue.take_due() == []


def test_all_steps_are_read_once_one_asks_for_a_checkpoint():
    queue = StepsInFlight(2)
    for number in range(3):
        queue.add(FakeStep(number, save=number == 1))
        results = queue.take_due()
    assert numbers(results) == [0]
    queue.add(FakeStep(3))
    assert numbers(queue.take_due()) == [1, 2, 3]
    queue.add(FakeStep(4))
    assert queue.take_due() == []


def test_only_a_gpu_has_steps_in_flight():
    assert default_limit(torch.device("cpu")) == 0
    assert default_limit(torch.device("cuda")) == STEPS_IN_FLIGHT
