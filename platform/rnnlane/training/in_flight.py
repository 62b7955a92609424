"""The queue of steps that were launched and whose results have not been read."""

from __future__ import annotations

from collections import deque

import torch

from rnnlane.training.step_result import LaunchedStep, StepResult

# Steps that may be in flight on a GPU: enough to keep it busy while the host reads a result.
STEPS_IN_FLIGHT = 8


class StepsInFlight:
    """Steps in the order of their launch.

    Args:
        limit: how many may be in flight before the oldest one is waited for.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._steps: deque[LaunchedStep] = deque()

    def add(self, step: LaunchedStep) -> None:
        """Appends a step that was just launched."""
        self._steps.append(step)

    def take_due(self) -> list[StepResult]:
        """The results of the steps beyond the limit; waits for them.

        If one of them asks for a checkpoint, of all steps: the weights are those after the last
        step launched, so nothing may be in flight when they are saved.
        """
        results: list[StepResult] = []
        while len(self._steps) > self._limit:
            results.append(self._steps.popleft().result())
            if results[-1].save:
                return results + self.take_all()
        return results

    def take_all(self) -> list[StepResult]:
        """The results of all steps; waits for them."""
        results = [step.result() for step in self._steps]
        self._steps.clear()
        return results


def default_limit(device: torch.device) -> int:
    """How many steps may be in flight; on a CPU none, as a launched step has finished there."""
    return STEPS_IN_FLIGHT if device.type == "cuda" else 0
