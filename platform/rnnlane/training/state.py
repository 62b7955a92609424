"""Where a run stands: sums over the steps of an epoch, and the record made of them at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rnnlane.errors import CheckpointError
from rnnlane.records.refit import REFIT
from rnnlane.training.clipping import ClipChoice, norm_statistics
from rnnlane.training.step_result import StepResult


@dataclass
class TrainState:
    """Where a run stands, apart from weights and optimizer.

    There is no random state: what is random in a step is drawn from (seed, epoch, step, shard).
    Sums and counts are kept, and means are computed from them once, when an epoch has ended.

    Attributes:
        epoch: the epoch under way, from 1; those of a refit are counted on from the last one of
            the training that chose the best epoch.
        step: finished steps of that epoch.
        elapsed_s: training time of that epoch so far, in seconds.
        seconds: the same by part, of the first worker.
        num_tokens: tokens of the epoch's finished steps, over all workers.
        num_positions: the same, padding included.
        clip: the clip value chosen; None before the calibration.
        history: one record for each finished epoch of the training on the train split.
        refit: one record for each finished epoch of the refit; its keys begin with ``refit/``.
        steps_before_refit: of the training on the train split; None before the refit begins.
        norms: gradient norms of all steps of the run so far.
        losses: losses of all steps of the run so far.
        loss_sum: sum over the rows of the epoch under way, of finite losses.
        loss_rows: sum of the weights of the rows that loss_sum is over: their number without class
            weights.
        correct: rows classified correctly in the epoch under way.
        clipped: steps clipped in the epoch under way.
        nonfinite: steps skipped in the epoch under way.
        nonfinite_in_a_row: steps skipped since the last finite one.
        row_order: see :attr:`TrainFeed.row_order`.
    """

    epoch: int = 1
    step: int = 0
    elapsed_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    num_tokens: float = 0.0
    num_positions: float = 0.0
    clip: ClipChoice | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    refit: list[dict[str, float]] = field(default_factory=list)
    steps_before_refit: int | None = None
    norms: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_rows: float = 0
    correct: float = 0.0
    clipped: int = 0
    nonfinite: int = 0
    nonfinite_in_a_row: int = 0
    row_order: str | None = None

    @property
    def is_refit(self) -> bool:
        """Whether the training under way is the refit, on train and val."""
        return self.steps_before_refit is not None

    @property
    def number(self) -> int:
        """The epoch under way, from 1, of the training under way."""
        return len(self.refit) + 1 if self.is_refit else self.epoch

    @property
    def records(self) -> list[dict[str, float]]:
        """One record for each finished epoch, those of the refit last."""
        return [*self.history, *self.refit]

    def keep_order(self, row_order: str | None, *, begins: bool) -> None:
        """The rows come in this order; a training ends with the order that it began with.

        Args:
            row_order: see :attr:`TrainFeed.row_order`.
            begins: whether the training, on train or the refit, begins now.

        Raises:
            CheckpointError: it began with another: rows of its epoch would come twice, or never.
        """
        if begins:
            self.row_order = row_order
        elif self.row_order != row_order:
            began, goes_on = (
                "resident" if order is None else "streaming"
                for order in (self.row_order, row_order)
            )
            differs = began != goes_on
            raise CheckpointError(
                f"a run must end with the order of rows it began with, that of {began} train data, "
                f"but got that of {goes_on} data" + ("" if differs else " in other shards"),
                where="data.feed",
                remedy=f"set data.feed={began}" if differs else "start a new run without --resume",
            )

    def begin_refit(self) -> None:
        """What follows are the epochs of the refit, which keeps the clip value."""
        self.steps_before_refit = len(self.norms)
        self.nonfinite_in_a_row = 0

    def add_step(self, result: StepResult, *, elapsed_s: float) -> None:
        """Adds a step, which took ``elapsed_s`` seconds in all, to the epoch under way."""
        self.step += 1
        self.elapsed_s += elapsed_s
        self.num_tokens += result.num_tokens
        self.num_positions += result.num_positions
        for part, seconds in result.seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + seconds
        self.losses.append(result.loss)
        if math.isfinite(result.loss):
            self.loss_sum += result.loss * result.loss_weight
            self.loss_rows += result.loss_weight
        self.correct += result.correct
        self.norms.append(result.norm)
        self.nonfinite += result.skipped
        self.nonfinite_in_a_row = self.nonfinite_in_a_row + 1 if result.skipped else 0
        assert self.clip is not None
        max_norm = self.clip.max_norm
        self.clipped += not result.skipped and max_norm is not None and result.norm > max_norm

    def epoch_record(self, *, num_rows: int, rate: float) -> dict[str, float]:
        """Training metrics of the epoch under way, all of whose steps have finished.

        Args:
            num_rows: rows of the epoch over all workers.
            rate: learning rate of the last step.
        """
        assert self.clip is not None
        clip = {} if self.clip.max_norm is None else {"clip/max_norm": self.clip.max_norm}
        if self.epoch == 1:
            for name, value in self.clip.calibration.items():
                clip[f"clip/calibration_norm_{name}"] = value
        norms = np.array(self.norms[-self.step :])
        return {
            "epoch": float(self.number),
            "train/loss": self.loss_sum / self.loss_rows if self.loss_rows else math.nan,
            "train/accuracy": self.correct / num_rows,
            **{f"grad_norm/{name}": value for name, value in norm_statistics(norms).items()},
            "grad_norm/clipped_fraction": self.clipped / self.step,
            "grad_norm/nonfinite_steps": float(self.nonfinite),
            **clip,
            "learning_rate": rate,
            "throughput/rows_per_s": num_rows / self.elapsed_s,
            "throughput/tokens_per_s": self.num_tokens / self.elapsed_s,
            "throughput/padding_share": 1.0 - self.num_tokens / self.num_positions,
            "time/epoch_s": self.elapsed_s,
            **{f"time/{part}_s": seconds for part, seconds in self.seconds.items()},
        }

    def end_epoch(self, record: dict[str, float]) -> None:
        """Appends the epoch's record and moves on to the next epoch."""
        if self.is_refit:
            # The clip value is that of the first training, whose records have it.
            self.refit.append(
                {f"{REFIT}{k}": v for k, v in record.items() if not k.startswith("clip/")}
            )
        else:
            self.history.append(record)
        self.epoch += 1
        self.step = 0
        self.elapsed_s, self.seconds = 0.0, {}
        self.num_tokens = self.num_positions = 0.0
        self.loss_sum, self.loss_rows, self.correct = 0.0, 0, 0.0
        self.clipped = self.nonfinite = 0
