"""The worker loop: the same code for one process and for many.

Knows neither Ray nor MLflow: data comes in as arrays, what happens goes out through `RunEvents`.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.errors import TrainingError
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.models.vectors import apply_vectors
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import EpochProgress
from rnnlane.training.checkpoint import (
    TrainState,
    contiguous_weights,
    load_checkpoint,
    save_checkpoint,
)
from rnnlane.training.clipping import choose_clip
from rnnlane.training.feed import StepBatch, TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.metrics import Scores, confusion, score, summarise
from rnnlane.training.records import add_step, epoch_record, start_epoch
from rnnlane.training.schedule import best_epoch, learning_rate, should_stop
from rnnlane.training.step import LaunchedStep, Stepper, build_optimizer, uses_bfloat16

PROGRESS_EVERY_S = 0.5
# On a GPU, steps that may be launched before what an earlier one found is looked at.
STEPS_IN_FLIGHT = 8


@dataclass(frozen=True)
class TrainingData:
    """What the workers learn from; the arrays may be read-only and shared between workers.

    Attributes:
        splits: train, val and test; without test, as in a search, nothing is tested.
        num_classes: number of labels.
        vocabulary_size: number of token ids.
        vectors: pretrained vectors float32 [V, E] and which tokens have one: bool [V].
    """

    splits: dict[str, EncodedSplit]
    num_classes: int
    vocabulary_size: int
    vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a finished run has found; alike on every worker.

    Attributes:
        history: one record for each epoch; the best one's has the test metrics as well, if tested.
        best_epoch: its number, from 1.
        weights: of the best epoch.
        losses: float64 [steps of the run], mean over each global batch.
        norms: float64 [steps of the run], gradient norms before clipping.
        clip: max_norm, reason, and the trial's statistics.
        test_confusion: int64 [C, C], rows true, columns predicted; zeros without a test split.
    """

    history: list[dict[str, float]]
    best_epoch: int
    weights: dict[str, Tensor]
    losses: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]
    clip: dict[str, Any]
    test_confusion: npt.NDArray[np.int64] = field(repr=False)


def run_training(
    config: ExperimentConfig,
    data: TrainingData,
    *,
    group: WorkerGroup,
    events: RunEvents,
    start: Path | None = None,
) -> Outcome:
    """Trains, validates after every epoch, and tests the best epoch once at the end.

    Args:
        config: the experiment.
        data: the same on every worker.
        group: this worker's place among the workers.
        events: receives progress, history and checkpoints.
        start: folder of a checkpoint to go on from.

    Raises:
        TrainingError: too many non-finite steps in a row, or a checkpoint that does not fit.
    """
    with cpu_settings(group):
        return _Run(config, data, group, events).to_the_end(start)


@contextmanager
def cpu_settings(group: WorkerGroup) -> Iterator[None]:
    """On CPUs one thread, with denormals flushed: the flag holds for the calling thread only.

    Denormals slow a recurrent backward pass down several times over, and torch's own threads
    would not flush them; more processes, not more threads, use more cores.
    """
    if group.device.type != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


class _Launched(NamedTuple):
    """A step under way; ``data_s`` is the time it took to make its batch, in seconds."""

    batch: StepBatch
    data_s: float
    step: LaunchedStep


class _Run:
    """The state of one run on one worker."""

    def __init__(
        self, config: ExperimentConfig, data: TrainingData, group: WorkerGroup, events: RunEvents
    ):
        self.config = config
        self.data = data
        self.group = group
        self.events = events
        self.seed = config.seed if config.training.seed is None else config.training.seed
        self.model = self._build_model()
        self.optimizer = build_optimizer(self.model, config.training)
        self.feed = TrainFeed(
            data.splits["train"],
            config.training,
            seed=self.seed,
            vocabulary_size=data.vocabulary_size,
            group=group,
        )
        self.state = TrainState()
        self.rate = config.training.learning_rate
        self.best: dict[str, Tensor] | None = None
        self.steps_in_flight = STEPS_IN_FLIGHT if group.device.type == "cuda" else 0
        self.saved_at = self.told_at = self.settled_at = 0.0

    def _build_model(self) -> RecurrentClassifier:
        model = build_model(
            self.config.model,
            vocabulary_size=self.data.vocabulary_size,
            num_classes=self.data.num_classes,
            seed=self.seed,
        )
        if self.data.vectors is not None:
            apply_vectors(model, *self.data.vectors)
        model = model.to(self.group.device)
        for tensor in model.state_dict().values():
            # The same seed need not give the same numbers on CPUs of another kind.
            self.group.copy_from_first_(tensor)
        return model

    def to_the_end(self, start: Path | None) -> Outcome:
        if start is not None:
            self.state, self.best = load_checkpoint(
                start, model=self.model, optimizer=self.optimizer
            )
            self.events.epoch(self.state.history)
        if self.state.clip is None:
            self.state.clip = choose_clip(self.config.training.clip, self._trial_norms())
        stepper = Stepper(self.model, self.optimizer, self.config.training, group=self.group)
        while not self._is_done():
            self._train_epoch(stepper)
            self._finish_epoch()
        return self._outcome()

    def _is_done(self) -> bool:
        history = self.state.history
        return len(history) >= self.config.training.epochs or should_stop(
            self.config.training, history
        )

    def _trial_norms(self) -> npt.NDArray[np.float64] | None:
        """Norms of a short unclipped run on a copy of the model: float64 [trial_steps at most]."""
        config = self.config.training
        if config.clip.policy != "auto":
            return None
        model = copy.deepcopy(self.model)
        # cuDNN reads an RNN's weights from one piece of memory, which a copy's are not in.
        model.body.encoder.rnn.flatten_parameters()
        stepper = Stepper(model, build_optimizer(model, config), config, group=self.group)
        launched: list[LaunchedStep] = []
        for step, batch in enumerate(itertools.islice(self.feed.steps(0), config.clip.trial_steps)):
            self._seed_step(epoch=0, step=step)
            launched.append(stepper(batch, max_norm=None, rate=config.learning_rate))
        return np.array([step.result().norm for step in launched])

    def _seed_step(self, *, epoch: int, step: int) -> None:
        """Makes dropout a function of place and time, so that no random state need be kept."""
        if self.config.model.has_dropout:
            place = (self.seed, epoch, step, self.group.rank)
            torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def _train_epoch(self, stepper: Stepper) -> None:
        in_flight: deque[_Launched] = deque()
        self.saved_at = self.told_at = self.settled_at = time.perf_counter()
        for launched in self._launch_steps(stepper):
            in_flight.append(launched)
            save = False
            # A checkpoint is of the weights after the last step launched: nothing may be in flight.
            while len(in_flight) > (0 if save else self.steps_in_flight):
                save |= self._settle(in_flight.popleft())
            if save and self.state.step < self.feed.num_steps:
                self._save()
                self.saved_at = self.settled_at = time.perf_counter()
        while in_flight:
            self._settle(in_flight.popleft())

    def _launch_steps(self, stepper: Stepper) -> Iterator[_Launched]:
        """Launches the epoch's steps that are not done, one each time it is asked."""
        assert self.state.clip is not None
        epoch, first = self.state.epoch, self.state.step
        batches = self.feed.steps(epoch, start=first)
        for step in range(first, self.feed.num_steps):
            started = time.perf_counter()
            batch = next(batches)
            fed_at = time.perf_counter()
            self._seed_step(epoch=epoch, step=step)
            self.rate = self._rate(step)
            launched = stepper(
                batch,
                max_norm=self.state.clip.max_norm,
                rate=self.rate,
                save=fed_at - self.saved_at > self.config.training.checkpoint_every_s,
            )
            yield _Launched(batch, fed_at - started, launched)

    def _settle(self, launched: _Launched) -> bool:
        """Takes what a step has found into the state; whether a checkpoint is asked for."""
        result = launched.step.result()
        now = time.perf_counter()
        add_step(
            self.state,
            launched.batch,
            result,
            data_s=launched.data_s,
            elapsed_s=now - self.settled_at,
        )
        self._refuse_nonfinite()
        if now - self.told_at > PROGRESS_EVERY_S:
            self.events.progress(self._progress())
            self.told_at = now
        self.settled_at = time.perf_counter()
        return result.save

    def _rate(self, step: int) -> float:
        """Learning rate of a step of the epoch under way."""
        num_steps = self.feed.num_steps
        return learning_rate(
            self.config.training,
            step=(self.state.epoch - 1) * num_steps + step,
            num_steps=self.config.training.epochs * num_steps,
            history=self.state.history,
        )

    def _refuse_nonfinite(self) -> None:
        in_a_row, most = self.state.nonfinite_in_a_row, self.config.training.max_nonfinite_steps
        if in_a_row >= most:
            raise TrainingError(
                f"loss or gradient was not finite in {in_a_row} steps in a row "
                f"(training.max_nonfinite_steps is {most})",
                where=f"epoch {self.state.epoch}, step {self.state.step}",
                remedy="lower training.learning_rate or set training.clip.policy=auto",
            )

    def _finish_epoch(self) -> None:
        state = self.state
        started = time.perf_counter()
        scores = self._score("val")
        record = epoch_record(state, num_rows=self.feed.num_rows, rate=self.rate)
        for key, value in summarise(scores, num_classes=self.data.num_classes).items():
            record[f"val/{key}"] = value
        record["time/validation_s"] = time.perf_counter() - started
        state.history.append(record)
        if best_epoch(self.config.training.metric, state.history) == len(state.history) - 1:
            self.best = contiguous_weights(self.model)
        start_epoch(state, state.epoch + 1)
        self._save()
        self.events.epoch(state.history)

    def _score(self, split: str) -> Scores:
        self.model.eval()
        device_type = self.group.device.type
        bfloat16 = uses_bfloat16(self.config.training, self.group.device)
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=bfloat16):
            scores = score(self.model, self.data.splits[split], group=self.group)
        self.model.train()
        return scores

    def _save(self) -> None:
        def write(folder: Path) -> None:
            save_checkpoint(
                folder,
                model=self.model,
                best=self.best,
                optimizer=self.optimizer,
                state=self.state,
            )

        self.events.checkpoint(write)

    def _progress(self) -> EpochProgress:
        state, num_steps = self.state, self.feed.num_steps
        num_epochs = self.config.training.epochs
        rows = state.step * self.config.training.global_batch_size
        steps_left = (num_epochs - state.epoch + 1) * num_steps - state.step
        return EpochProgress(
            stage=f"epoch {state.epoch}/{num_epochs}",
            done=state.step,
            total=num_steps,
            epoch=state.epoch,
            num_epochs=num_epochs,
            loss=state.loss_sum / max(state.loss_rows, 1),
            accuracy=state.correct / rows,
            rows_per_s=rows / state.elapsed_s,
            left_s=steps_left * state.elapsed_s / state.step,
        )

    def _outcome(self) -> Outcome:
        state = self.state
        assert self.best is not None
        assert state.clip is not None
        best = best_epoch(self.config.training.metric, state.history)
        history = [dict(record) for record in state.history]
        num_classes = self.data.num_classes
        test_confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        if "test" in self.data.splits:
            self.model.load_state_dict(self.best)
            scores = self._score("test")
            summary = summarise(scores, num_classes=num_classes)
            history[best].update({f"test/{key}": value for key, value in summary.items()})
            test_confusion = confusion(scores, num_classes=num_classes)
        return Outcome(
            history=history,
            best_epoch=best + 1,
            weights=self.best,
            losses=np.array(state.losses),
            norms=np.array(state.norms),
            clip=state.clip.as_dict(),
            test_confusion=test_confusion,
        )
