from dataclasses import dataclass
from functools import reduce

import pytest
import torch
from torch import Tensor

from rnnlane.training.all_reduce import all_reduce_, sum_in_order
from rnnlane.training.group import WorkerGroup
from support.workers import asked_in_turn


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


def sums_of(shards: list[Tensor], world_size: int) -> tuple[list[Tensor], dict[int, Tensor]]:
    """The sum that each worker finds, and what each sends."""

    def found(group: WorkerGroup) -> Tensor:
        own = {number: shards[number] for number in group.own_shards(len(shards))}
        return sum_in_order(own, num_shards=len(shards), group=group)

    return asked_in_turn(world_size, found)


@pytest.mark.parametrize("num_shards", [1, 2, 4, 8, 16])
def test_shards_are_summed_to_the_same_bits_by_any_number_of_workers(num_shards):
    random = torch.Generator().manual_seed(num_shards)
    shards = list(torch.randn(num_shards, 1000, generator=random))
    (alone,), _ = sums_of(shards, 1)
    torch.testing.assert_close(alone, torch.stack(shards).sum(0), atol=1e-5, rtol=1e-4)
    if num_shards > 4:
        assert not torch.equal(alone, reduce(torch.add, shards))  # the order does matter
    for world_size in range(1, num_shards + 1):
        for total in sums_of(shards, world_size)[0]:
            assert torch.equal(total, alone)


@pytest.mark.parametrize(("world_size", "num_sent"), [(2, 1), (4, 1), (8, 1), (3, 3)])
def test_a_worker_sends_the_sum_of_what_it_has_whole(world_size, num_sent):
    shards = list(torch.eye(8))
    _, sent = sums_of(shards, world_size)
    assert {len(values) for values in sent.values()} == {num_sent}
    if num_sent == 1:
        assert sum(values.sum() for values in sent.values()) == 8
