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

import torch
from torch import Tensor

from rnnlane.training.group import WorkerGroup


def all_reduce_(gradients: Sequence[Tensor], counters: Tensor, *, group: WorkerGroup) -> Tensor:
    """Replaces each gradient by its sum over the workers, in place.

    Args:
        gradients: float32, of the same shapes on every worker.
        counters: float32 [K]; numbers to be summed along with them.
        group: the workers; all of them must call this in every step.

    Returns:
        float32 [K], the counters summed over the workers.
    """
    if group.world_size == 1:
        return counters
    return unflatten_(group.sum_(flatten(gradients, counters)), gradients)


def flatten(gradients: Sequence[Tensor], counters: Tensor) -> Tensor:
    """A copy of all of them, one after the other: float32 [total]."""
    return torch.cat([gradient.reshape(-1) for gradient in gradients] + [counters])


def unflatten_(flat: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Puts back what :func:`flatten` took: replaces the gradients, and returns the counters."""
    sizes = [gradient.numel() for gradient in gradients]
    *values, counters = torch.split(flat, [*sizes, len(flat) - sum(sizes)])
    for gradient, value in zip(gradients, values, strict=True):
        gradient.copy_(value.view_as(gradient))
    return counters


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
