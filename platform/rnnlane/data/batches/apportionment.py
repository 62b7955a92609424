"""How many rows of each class every step of an epoch takes: exact, and even over the epoch.

A step of B rows out of N should hold B * n / N rows of a class that has n: rarely a whole number.
Rounding must meet three conditions at once: each step is full, each class is within one row in each
step, and each class is within one row over any number of first steps (or a rare class would bunch).
That is proportionate-fair scheduling: a class is a task, a step is a time slot, the rows that
rounding down leaves over are the processors. The PD2 rule solves it, one slot after the other.

Baruah, Cohen, Plaxton, Varvel: Proportionate progress: a notion of fairness in resource
allocation. Algorithmica 15 (1996). Anderson, Srinivasan: Mixed Pfair/ERfair scheduling of
asynchronous periodic tasks. Journal of Computer and System Sciences 68 (2004).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

import numpy as np
import numpy.typing as npt

Priority = tuple[int, bool, int, int]


def step_class_counts(
    class_counts: npt.NDArray[np.int64], *, global_batch_size: int
) -> npt.NDArray[np.int64]:
    """Rows of each class in each step of an epoch.

    With N rows in all, every step has ``global_batch_size`` = B rows but the last, which has the
    rest. A step of b rows holds floor or ceil of b * n / N rows of a class that has n, and the
    first k rows of the epoch, for any whole number of steps, floor or ceil of k * n / N.

    Args:
        class_counts: int64 [C], rows of each class, each at least 1.
        global_batch_size: at least 1.

    Returns:
        int64 [ceil(N / B), C].

    Example:
        Of N = 11 rows, 8 are of class 0 and 3 of class 1. A step of B = 4 rows should hold
        4 * 3 / 11 = 1.09 of class 1, so each holds 1 or 2, and the first two together 2 or 3.

        >>> step_class_counts(np.array([8, 3]), global_batch_size=4).tolist()
        [[3, 1], [3, 1], [2, 1]]
    """
    num_rows = int(class_counts.sum())
    num_full, rest = divmod(num_rows, global_batch_size)
    guaranteed, weights = np.divmod(global_batch_size * class_counts, num_rows)
    counts = guaranteed + _extra_rows(weights.tolist(), num_rows, num_full)
    if rest:
        # The rest is within one row of its share too, because the full steps before it are.
        counts = np.vstack([counts, class_counts - counts.sum(axis=0)])
    return counts


def _extra_rows(weights: list[int], num_rows: int, num_steps: int) -> npt.NDArray[np.int64]:
    """PD2: gives sum(weights) / num_rows classes one extra row in each step.

    Returns:
        int64 [num_steps, C] of zeros and ones; class c has ``weights[c] / num_rows`` of a row a
        step: floor or ceil of k times that in the first k steps, for every k.
    """
    extra = np.zeros((num_steps, len(weights)), dtype=np.int64)
    per_step = sum(weights) // num_rows
    units = [_units(weight, num_rows, index) for index, weight in enumerate(weights)]
    arrivals: list[list[Priority]] = [[] for _ in range(num_steps)]
    ready: list[Priority] = []

    def await_next_unit(index: int, earliest: int) -> None:
        release, priority = next(units[index])
        if (step := max(release, earliest)) < num_steps:
            arrivals[step].append(priority)

    for index, weight in enumerate(weights):
        if weight:
            await_next_unit(index, 0)
    for step in range(num_steps):
        for priority in arrivals[step]:
            heapq.heappush(ready, priority)
        for _ in range(per_step):
            *_, index = heapq.heappop(ready)
            extra[step, index] = 1
            await_next_unit(index, step + 1)
    return extra


def _units(weight: int, num_rows: int, index: int) -> Iterator[tuple[int, Priority]]:
    """The extra rows of one class in turn: the first step that may hold it, and its priority.

    Lower is more urgent: the deadline (the step before which it is due), then whether the next
    unit's window overlaps this one's (the b-bit), then the later group deadline: how long a class
    with half a row or more a step would be tied down by waiting once more.
    """
    slack = num_rows - weight
    for unit in count(1):
        release = (unit - 1) * num_rows // weight
        deadline = _ceil_div(unit * num_rows, weight)
        overlaps = unit * num_rows % weight != 0
        is_heavy = weight >= slack
        group = _ceil_div(_ceil_div(deadline * slack, num_rows) * num_rows, slack)
        yield release, (deadline, not overlaps, -group if is_heavy else 0, index)


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
