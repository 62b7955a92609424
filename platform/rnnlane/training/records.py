"""Steps -> the record of their epoch. Sums are kept, means are made of them once."""

from __future__ import annotations

import math

import numpy as np

from rnnlane.training.checkpoint import TrainState
from rnnlane.training.clipping import norm_statistics
from rnnlane.training.feed import StepBatch
from rnnlane.training.step import StepResult


def start_epoch(state: TrainState, epoch: int) -> None:
    """Makes the state that of an epoch none of whose steps is done."""
    state.epoch, state.step = epoch, 0
    state.elapsed_s, state.seconds = 0.0, {}
    state.num_tokens = state.num_positions = 0.0
    state.loss_sum, state.loss_rows, state.correct = 0.0, 0, 0.0
    state.clipped = state.nonfinite = 0


def add_step(
    state: TrainState, batch: StepBatch, result: StepResult, *, data_s: float, elapsed_s: float
) -> None:
    """Adds a step to the epoch under way.

    Args:
        state: is changed.
        batch: what the step was taken on.
        result: what it found.
        data_s: seconds it took to make the batch.
        elapsed_s: seconds of the step in all.
    """
    state.step += 1
    state.elapsed_s += elapsed_s
    state.num_tokens += result.num_tokens
    state.num_positions += result.num_positions
    for part, seconds in {"data": data_s, **result.seconds}.items():
        state.seconds[part] = state.seconds.get(part, 0.0) + seconds
    state.losses.append(result.loss)
    if math.isfinite(result.loss):
        state.loss_sum += result.loss * batch.num_rows
        state.loss_rows += batch.num_rows
    state.correct += result.correct
    state.norms.append(result.norm)
    state.nonfinite += result.skipped
    state.nonfinite_in_a_row = state.nonfinite_in_a_row + 1 if result.skipped else 0
    assert state.clip is not None
    max_norm = state.clip.max_norm
    state.clipped += not result.skipped and max_norm is not None and result.norm > max_norm


def epoch_record(state: TrainState, *, num_rows: int, rate: float) -> dict[str, float]:
    """Metrics of the epoch under way, all of whose steps are done.

    Args:
        state: the epoch's sums.
        num_rows: rows of the epoch over all workers.
        rate: learning rate of the last step.
    """
    assert state.clip is not None
    clip = {"max_norm": state.clip.max_norm} if state.clip.max_norm is not None else {}
    if state.epoch == 1:
        clip |= {f"trial_norm_{name}": value for name, value in state.clip.trial.items()}
    norms = np.array(state.norms[-state.step :])
    return {
        "epoch": float(state.epoch),
        "train/loss": state.loss_sum / state.loss_rows if state.loss_rows else math.nan,
        "train/accuracy": state.correct / num_rows,
        **{f"grad_norm/{name}": value for name, value in norm_statistics(norms).items()},
        "grad_norm/clipped_fraction": state.clipped / state.step,
        "grad_norm/nonfinite_steps": float(state.nonfinite),
        **{f"clip/{name}": value for name, value in clip.items()},
        "learning_rate": rate,
        "throughput/rows_per_s": num_rows / state.elapsed_s,
        "throughput/tokens_per_s": state.num_tokens / state.elapsed_s,
        "throughput/padding_share": 1.0 - state.num_tokens / state.num_positions,
        "time/epoch_s": state.elapsed_s,
        **{f"time/{part}_s": seconds for part, seconds in state.seconds.items()},
    }
