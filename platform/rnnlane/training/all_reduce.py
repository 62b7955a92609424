"""One exchange per step: the data-parallel sum of gradients.

`torch.nn.parallel.DistributedDataParallel` would send the gradient of the whole embedding table:
11.5 MB per step for 30,000 words of 96 numbers, of which a batch uses a tenth. Here only the active
rows are sent, in one flat buffer with all other gradients and the step's counters. Traffic grows
with the words in a batch instead of the vocabulary, and it works the same on gloo and NCCL because
every worker knows the active rows beforehand.

Floating-point sums depend on their order. An all-reduce adds worker by worker, so its last digits
change with the number of workers; :func:`sum_in_order` adds shard by shard, in an order that does
not depend on which worker has which shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnlane.training.group import WorkerGroup


class StepGradient(NamedTuple):
    """The gradient of a step, and what is summed over the workers along with it.

    Attributes:
        whole: float32 [n]; the other attributes are views of it.
        body: of the parameters, in their order and shapes.
        rows: float32 [U, E], of the active rows of each table.
        counters: float32 [K].
    """

    whole: Tensor
    body: list[Tensor]
    rows: list[Tensor]
    counters: Tensor

    @property
    def parts(self) -> list[Tensor]:
        """All gradients."""
        return [*self.body, *self.rows]


class GradientBuffer:
    """The memory of every step's gradient, at the same addresses in all of them.

    Args:
        body: the parameters; the gradient of each has the same place in every step.
        tables: float32 [V, E] each, of which a step has a gradient of U rows; may be none.
        max_rows: largest U of each.
        num_counters: K.
        alignment: entries; each part starts at a multiple of it.

    Attributes:
        body: the gradients of the parameters.
    """

    def __init__(
        self,
        body: Sequence[Tensor],
        tables: Sequence[Tensor],
        *,
        max_rows: Sequence[int],
        num_counters: int,
        alignment: int = 1,
    ):
        ends, starts, start = [], [], 0
        for parameter in body:
            starts.append(start)
            ends.append(start + parameter.numel())
            start = -(-ends[-1] // alignment) * alignment
        self._rows_start, self._columns = start, [table.shape[1] for table in tables]
        self._num_counters, self._alignment = num_counters, alignment
        size = start + sum(self._sizes(max_rows)) + num_counters
        self._memory = torch.zeros(size, device=body[0].device)  # gaps are summed too
        self.body = [
            self._memory[first:end].view(parameter.shape)
            for first, end, parameter in zip(starts, ends, body, strict=True)
        ]

    def of(self, *num_rows: int) -> StepGradient:
        """The gradient of a step with so many active rows of each table."""
        start, sizes = self._rows_start, self._sizes(num_rows)
        whole = self._memory[: start + sum(sizes) + self._num_counters]
        _, *parts, counters = torch.split(whole, [start, *sizes, self._num_counters])
        rows = [
            part[: number * columns].view(number, columns)
            for part, number, columns in zip(parts, num_rows, self._columns, strict=True)
        ]
        return StepGradient(whole, self.body, rows, counters)

    def _sizes(self, num_rows: Sequence[int]) -> list[int]:
        """Entries of each table's rows, and of the gap before the next table's."""
        sizes = [number * columns for number, columns in zip(num_rows, self._columns, strict=True)]
        padded = [-(-size // self._alignment) * self._alignment for size in sizes[:-1]]
        return [*padded, *sizes[-1:]]


def sum_in_order(shards: Mapping[int, Tensor], *, num_shards: int, group: WorkerGroup) -> Tensor:
    """The sum over a step's shards, with the same bits for any number of workers.

    Shards are added in pairs, and pairs of pairs: of four, always (0 + 2) + (1 + 3). A worker adds
    up what it has whole, and sends only that: with two workers the first sends 0 + 2, with four
    each sends its shard, with three the first sends 0 and 3.

    Args:
        shards: this worker's :meth:`WorkerGroup.own_shards`, float32 [n] each.
        num_shards: a power of two, at least the number of workers.
        group: the workers; all of them must call this in every step.
    """
    known = {(shard, num_shards): values for shard, values in shards.items()}
    if group.world_size > 1:
        sent: list[list[tuple[int, int]]] = [[] for _ in range(group.world_size)]
        for rank, node in _whole_nodes((0, 1), num_shards, group.world_size):
            sent[rank].append(node)
        own = [_sum_of(node, known) for node in sent[group.rank]]
        most = max(len(nodes) for nodes in sent)
        own += own[:1] * (
            most - len(own)
        )  # all send as much; what is beyond their nodes is ignored
        for nodes, values in zip(sent, group.gathered(torch.stack(own)), strict=True):
            known.update(zip(nodes, values, strict=False))
    return _sum_of((0, 1), known)


def _children(node: tuple[int, int]) -> list[tuple[int, int]]:
    """The two nodes that a node (first, stride) is the sum of: shards first, first + stride, ..."""
    first, stride = node
    return [(first, 2 * stride), (first + stride, 2 * stride)]


def _sum_of(node: tuple[int, int], known: Mapping[tuple[int, int], Tensor]) -> Tensor:
    if node in known:
        return known[node]
    left, right = (_sum_of(child, known) for child in _children(node))
    return left + right


def _whole_nodes(
    node: tuple[int, int], num_shards: int, world_size: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    """The largest nodes within a node of which one worker has every shard, and its rank."""
    first, stride = node
    ranks = {shard % world_size for shard in range(first, num_shards, stride)}
    if len(ranks) == 1:
        yield ranks.pop(), node
        return
    for child in _children(node):
        yield from _whole_nodes(child, num_shards, world_size)
