from functools import reduce

import pytest
import torch
from torch import Tensor

from rnnlane.training.all_reduce import GradientBuffer, sum_in_order
from rnnlane.training.group import WorkerGroup
from support.workers import asked_in_turn

BODY = [torch.zeros(2, 3), torch.zeros(1), torch.zeros(3)]
TABLE = torch.zeros(9, 2)


@pytest.mark.parametrize("alignment", [1, 4])
@pytest.mark.parametrize("num_rows", [1, 4, 9])
def test_gradients_and_counters_lie_one_after_the_other(alignment, num_rows):
    buffer = GradientBuffer(BODY, [TABLE], max_rows=[9], num_counters=2, alignment=alignment)
    gradient = buffer.of(num_rows)
    assert [part.shape for part in gradient.parts] == [(2, 3), (1,), (3,), (num_rows, 2)]
    gradient.whole.zero_()
    for number, part in enumerate([*gradient.parts, gradient.counters], start=1):
        assert part.data_ptr() % (4 * alignment) == 0 or part is gradient.counters
        part.fill_(number)
    counts = [int((gradient.whole == number).sum()) for number in range(1, 6)]
    assert counts == [6, 1, 3, 2 * num_rows, 2]
    if alignment == 1:
        assert gradient.whole.tolist() == sorted(gradient.whole.tolist())
        assert len(gradient.whole) == sum(counts)


@pytest.mark.parametrize("alignment", [1, 4])
def test_rows_of_two_tables_lie_one_after_the_other(alignment):
    tables = [TABLE, torch.zeros(7, 3)]
    buffer = GradientBuffer(BODY, tables, max_rows=[9, 7], num_counters=2, alignment=alignment)
    gradient = buffer.of(3, 5)
    assert [part.shape for part in gradient.rows] == [(3, 2), (5, 3)]
    for number, part in enumerate([*gradient.parts, gradient.counters], start=1):
        assert part.data_ptr() % (4 * alignment) == 0 or part is gradient.counters
        part.fill_(number)
    counts = [int((gradient.whole == number).sum()) for number in range(1, 7)]
    assert counts == [6, 1, 3, 6, 15, 2]
    if alignment == 1:
        assert len(gradient.whole) == sum(counts)
    assert buffer.of(9, 7).rows[1].shape == (7, 3)


def test_every_step_has_its_gradient_at_the_same_place():
    buffer = GradientBuffer(BODY, [TABLE], max_rows=[9], num_counters=2, alignment=4)
    few, many = buffer.of(2), buffer.of(7)
    assert few.rows[0].data_ptr() == many.rows[0].data_ptr()
    assert [one.data_ptr() for one in few.body] == [other.data_ptr() for other in buffer.body]
    # The gaps between the parts are exchanged as well, and must not be what memory held before.
    buffer.of(0).whole[:-2].add_(1.0)
    assert torch.equal(buffer.of(0).whole[:-2], torch.ones(6 + 2 + 1 + 3 + 3 + 1))


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
