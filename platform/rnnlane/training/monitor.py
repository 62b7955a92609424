"""Adds finished steps to the state, stops a diverging run, and reports progress."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rnnlane.config.training import TrainingConfig
from rnnlane.errors import TrainingError
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import EpochProgress, Progress
from rnnlane.training.state import TrainState
from rnnlane.training.step_result import StepResult

PROGRESS_EVERY_S = 0.5


class EpochMonitor:
    """Follows the steps of one epoch; its clock starts when it is created.

    Args:
        state: receives the steps.
        config: the run's batch size and largest number of non-finite steps.
        num_epochs: epochs of the training under way.
        num_steps: steps of an epoch.
        events: receives the progress.

    Attributes:
        state: where the training stands.
        config: of the training.
    """

    def __init__(
        self,
        state: TrainState,
        config: TrainingConfig,
        *,
        num_epochs: int,
        num_steps: int,
        events: RunEvents,
    ):
        self.state = state
        self.config = config
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._name = "refit epoch" if state.is_refit else "epoch"
        self._events = events
        self._clock = self._reported_at = time.perf_counter()

    def add(self, results: Iterable[StepResult]) -> bool:
        """Adds finished steps; the time since the last call counts as training time.

        Returns:
            Whether one of them asks for a checkpoint.

        Raises:
            TrainingError: too many consecutive steps were not finite.
        """
        asked = False
        for result in results:
            asked = asked or result.save
            now = time.perf_counter()
            self.state.add_step(result, elapsed_s=now - self._clock)
            self._check_finite()
            if now - self._reported_at > PROGRESS_EVERY_S:
                self._events.progress(self._progress())
                self._reported_at = now
            self.restart_clock()
        return asked

    def restart_clock(self) -> None:
        """Leaves out the time since the last call, such as that of writing a checkpoint."""
        self._clock = time.perf_counter()

    def _check_finite(self) -> None:
        in_a_row, limit = self.state.nonfinite_in_a_row, self.config.max_nonfinite_steps
        if in_a_row >= limit:
            raise TrainingError(
                f"loss or gradient was not finite in {in_a_row} steps in a row "
                f"(training.max_nonfinite_steps is {limit})",
                where=f"{self._name} {self.state.number}, step {self.state.step}",
                remedy="lower training.learning_rate or set training.clip.policy=auto",
            )

    def _progress(self) -> Progress:
        state, num_epochs = self.state, self._num_epochs
        rows = state.step * self.config.global_batch_size
        steps_left = (num_epochs - state.number + 1) * self._num_steps - state.step
        return EpochProgress(
            stage=f"{self._name} {state.number}/{num_epochs}",
            done=state.step,
            total=self._num_steps,
            epoch=state.number,
            num_epochs=num_epochs,
            loss=state.loss_sum / (state.loss_rows or 1),
            accuracy=state.correct / rows,
            rows_per_s=rows / state.elapsed_s,
            left_s=steps_left * state.elapsed_s / state.step,
        )
