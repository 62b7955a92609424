"""Ray tasks whose results come in order, a few of them under way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any

# For each CPU of the cluster: enough that none waits while the first result is awaited.
_TASKS_A_CPU = 4
# Seconds; tasks take a few.
_LAST_TASKS_S = 30.0


def results_in_order(starts: Iterable[Callable[[], Any]]) -> Generator[Any]:
    """The results of tasks, in their order.

    Where one fails or the reader leaves, those under way are waited for: they may write into a
    folder that is about to be removed. None is canceled, as Ray ends this process where a task is
    canceled just as its result arrives ("Tried to complete task that was not pending").

    Args:
        starts: each starts a task, and returns the reference of its result.
    """
    import ray

    most = max(1, int(_TASKS_A_CPU * ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    try:
        for start in starts:
            if len(waiting) == most:
                yield ray.get(waiting.popleft())
            waiting.append(start())
        while waiting:
            yield ray.get(waiting.popleft())
    finally:
        if waiting:
            ray.wait(list(waiting), num_returns=len(waiting), timeout=_LAST_TASKS_S)


def spread(
    function: Callable[..., tuple[Any, Any]], arguments: Iterable[Sequence[Any]]
) -> tuple[list[Any], list[Any]]:
    """Runs a function as one task for each list of arguments; see ``row_selection.Spread``.

    Returns:
        The references of what each returned first; and what each returned second.
    """
    import ray

    task = ray.remote(num_returns=2)(function)
    kept: list[Any] = []

    def start(one: Sequence[Any]) -> Any:
        first, second = task.remote(*one)
        kept.append(first)
        return second

    told = list(results_in_order(partial(start, one) for one in arguments))
    return kept, told
