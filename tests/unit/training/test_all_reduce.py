from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlane.training.all_reduce import all_reduce_
from rnnlane.training.group import WorkerGroup


@dataclass(frozen=True)
class Twin(WorkerGroup):
    """Two workers with the same numbers; counts the calls."""

    calls: list[int]

    def sum_(self, values: Tensor) -> Tensor:
        self.calls.append(values.numel())
        return values.mul_(2)


def test_gradients_and_counters_travel_together_and_keep_their_shapes():
    group = Twin(0, 2, torch.device("cpu"), [])
    gradients = [
        torch.arange(6.0).view(2, 3),
        torch.tensor([7.0]),
        torch.arange(4.0).view(2, 2).t(),
    ]
    before = [gradient.clone() for gradient in gradients]
    totals = all_reduce_(gradients, torch.tensor([1.0, 5.0]), group=group)
    assert group.calls == [6 + 1 + 4 + 2]
    assert totals.tolist() == [2.0, 10.0]
    for gradient, old in zip(gradients, before, strict=True):
        assert torch.equal(gradient, 2 * old)


def test_a_worker_alone_sends_nothing():
    gradient = torch.ones(3)
    totals = all_reduce_(
        [gradient], torch.tensor([4.0]), group=WorkerGroup(0, 1, torch.device("cpu"))
    )
    assert totals.tolist() == [4.0]
    assert gradient.tolist() == [1.0, 1.0, 1.0]
