"""Progress and records of a language model's epochs."""

from __future__ import annotations

from dataclasses import dataclass

from rnnlane.pretraining.perplexity import perplexity_of
from rnnlane.records.progress import Progress, clock
from rnnlane.training.monitor import EpochMonitor
from rnnlane.training.state import TrainState


@dataclass(frozen=True)
class LanguageProgress(Progress):
    """The progress within an epoch; ``done`` and ``total`` are optimizer steps.

    Attributes:
        loss: mean over the tokens of the epoch so far; an estimate if the softmax is sampled.
        tokens_per_s: speed of the epoch so far, over all workers.
        left_s: seconds that the rest of the run takes at that speed.
    """

    loss: float
    tokens_per_s: float
    left_s: float

    @property
    def detail(self) -> str:
        """Loss, speed and the time left, on one line."""
        return f"loss {self.loss:.4f}  {self.tokens_per_s:,.0f} tokens/s  {clock(self.left_s)} left"


class LanguageMonitor(EpochMonitor):
    """Follows the steps of an epoch of a language model."""

    def _progress(self) -> Progress:
        state, num_epochs = self.state, self._num_epochs
        steps_left = (num_epochs - state.epoch + 1) * self._num_steps - state.step
        return LanguageProgress(
            stage=f"epoch {state.epoch}/{num_epochs}",
            done=state.step,
            total=self._num_steps,
            loss=state.loss_sum / (state.loss_rows or 1),
            tokens_per_s=state.num_tokens / state.elapsed_s,
            left_s=steps_left * state.elapsed_s / state.step,
        )


# Of a classifier's record: there are no classes, and streams have no padding.
_NOT_MEASURED = {"train/accuracy", "throughput/padding_share"}


def epoch_record(state: TrainState, *, num_texts: int, rate: float) -> dict[str, float]:
    """Training metrics of the epoch under way, all of whose steps have finished."""
    record = state.epoch_record(num_rows=num_texts, rate=rate)
    kept = {key: value for key, value in record.items() if key not in _NOT_MEASURED}
    return {**kept, "train/perplexity": perplexity_of(record["train/loss"])}
