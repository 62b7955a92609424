"""The training loop: the same code for one process and for many.

Knows neither Ray nor MLflow: data comes in as arrays, and events go out through `RunEvents`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.training import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.models.from_language_model import apply_pretrained
from rnnlane.models.gpu_speed import slow_on_gpus
from rnnlane.models.vectors import apply_vectors
from rnnlane.records.events import RunEvents
from rnnlane.records.predictions import Predictions
from rnnlane.training.calibration import calibrate_clip
from rnnlane.training.checkpoint import Checkpointer, copied_weights, load_checkpoint, on_host
from rnnlane.training.class_weights import class_weights
from rnnlane.training.feed import TrainFeed
from rnnlane.training.graphs import graphs_for
from rnnlane.training.group import WorkerGroup
from rnnlane.training.in_flight import StepsInFlight, default_limit
from rnnlane.training.metrics import Scores, confusion, score, score_and_keep, summarize
from rnnlane.training.monitor import EpochMonitor
from rnnlane.training.precision import served_precision, training_precision
from rnnlane.training.schedule import best_epoch, learning_rate, should_stop
from rnnlane.training.state import TrainState
from rnnlane.training.step import Stepper, build_optimizer


@dataclass(frozen=True)
class TrainingData:
    """The input of a run; the arrays may be read-only and shared between workers.

    Attributes:
        splits: train, val and test; without test, as in a search, nothing is tested.
        num_classes: number of labels.
        vocabulary_size: number of token ids.
        vectors: pretrained vectors float32 [V, E] and which tokens have one: bool [V].
        class_names: by label; without them classes cannot have weights.
        row_keys: of val and test, uint64 [N] each; without them no predictions are kept.
        start: weights of a language model that a classifier starts from.
        token_counts: occurrences of each token id in what is learned from; for a language model.
    """

    splits: dict[str, EncodedSplit]
    num_classes: int
    vocabulary_size: int
    vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]] | None = None
    class_names: tuple[str, ...] = ()
    row_keys: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    start: Mapping[str, Tensor] | None = None
    token_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of a finished run; equal on every worker.

    Attributes:
        history: one record for each epoch; the best one's has the test metrics as well, if tested.
        best_epoch: its number, from 1.
        weights: of the best epoch, on the CPU.
        losses: float64 [steps of the run], mean over each global batch.
        norms: float64 [steps of the run], gradient norms before clipping.
        clip: max_norm, reason, and the calibration's statistics.
        confusions: of the best epoch on val and test, by split: int64 [C, C], rows true, columns
            predicted; empty if nothing was tested.
        predictions: of the best epoch, by split; empty if nothing was tested or no row has a key.
            A worker other than the first leaves them behind.
    """

    history: list[dict[str, float]]
    best_epoch: int
    weights: dict[str, Tensor]
    losses: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]
    clip: dict[str, Any]
    confusions: dict[str, npt.NDArray[np.int64]] = field(repr=False)
    predictions: dict[str, Predictions] = field(default_factory=dict, repr=False)


class Work(Protocol):
    """A training loop: of a classifier, or of a language model."""

    def __call__(
        self,
        config: ExperimentConfig,
        data: TrainingData,
        *,
        group: WorkerGroup,
        events: RunEvents,
        start: Path | None = None,
    ) -> Outcome:
        """See :func:`run_training`."""


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
        group: the workers, as seen by this one.
        events: receives progress, history and checkpoints.
        start: folder of a checkpoint to resume from.

    Raises:
        TrainingError: too many non-finite steps in a row, or a checkpoint that does not fit.
    """
    training, state = config.training, TrainState()
    best: dict[str, Tensor] | None = None
    if group.device.type == "cuda":
        for note in slow_on_gpus(config):
            events.note(note)
    with cpu_settings(group), training_precision(training):
        model = _initial_model(config, data, group)
        optimizer = build_optimizer(model, training)
        feed = _train_feed(config, data, group)
        if start is not None:
            state, best = load_checkpoint(start, model=model, optimizer=optimizer)
            events.saved(state.history)
            events.epoch(state.history)
        if state.clip is None:
            state.clip = calibrate_clip(config, model, feed, group=group, events=events)
        graphs = graphs_for(training, group.device, events)
        stepper = Stepper(model, optimizer, training, group=group, graphs=graphs)
        checkpointer = Checkpointer(model, optimizer, events, every_s=training.checkpoint_every_s)
        total = training.epochs * feed.num_steps

        while not is_over(training, state.history):
            in_flight = StepsInFlight(default_limit(group.device))
            monitor = EpochMonitor(state, training, num_steps=feed.num_steps, events=events)
            before = (state.epoch - 1) * feed.num_steps
            batches = feed.steps(state.epoch, start=state.step)
            for step, batch in enumerate(batches, start=state.step):
                rate = learning_rate(
                    training, step=before + step, num_steps=total, history=state.history
                )
                save = checkpointer.is_due(ends_epoch=step == feed.num_steps - 1)
                in_flight.add(stepper(batch, max_norm=state.clip.max_norm, rate=rate, save=save))
                asked = monitor.add(in_flight.take_due())
                if asked and state.step < feed.num_steps:
                    checkpointer.save(state, best)
                    monitor.restart_clock()
            asked = monitor.add(in_flight.take_all()) or asked

            record = state.epoch_record(num_rows=feed.num_rows, rate=rate)
            state.end_epoch(record | _validate(model, data, group))
            if best_epoch(training.metric, state.history) == len(state.history) - 1:
                best = copied_weights(model)
            if asked or is_over(training, state.history):
                checkpointer.save(state, best)
            events.epoch(state.history)
        assert best is not None
        return _tested_outcome(config, model, data, group, state=state, best=best)


def is_over(training: TrainingConfig, history: list[dict[str, float]]) -> bool:
    """Whether a run trains no further epoch."""
    return len(history) >= training.epochs or should_stop(training, history)


@contextmanager
def cpu_settings(group: WorkerGroup) -> Iterator[None]:
    """On CPUs: one thread, with denormals flushed.

    Denormals make a recurrent backward pass several times slower. The flag holds for the calling
    thread only, so torch's own threads would not flush them: more processes, not more threads, are
    the way to use more cores.
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


def _initial_model(
    config: ExperimentConfig, data: TrainingData, group: WorkerGroup
) -> RecurrentClassifier:
    model = build_model(
        config.model,
        vocabulary_size=data.vocabulary_size,
        num_classes=data.num_classes,
        seed=config.training_seed,
    )
    if data.vectors is not None:
        apply_vectors(model, *data.vectors)
    if data.start is not None:
        apply_pretrained(model, data.start)
    model = model.to(group.device)
    for tensor in model.state_dict().values():
        # CPUs of different kinds need not generate the same numbers from the same seed.
        group.copy_from_first_(tensor)
    return model


def _train_feed(config: ExperimentConfig, data: TrainingData, group: WorkerGroup) -> TrainFeed:
    train, names = data.splits["train"], data.class_names
    return TrainFeed(
        train,
        config.training,
        seed=config.training_seed,
        vocabulary_size=data.vocabulary_size,
        group=group,
        class_weights=class_weights(config.training.class_weights, train.labels, names),
    )


def _validate(
    model: RecurrentClassifier, data: TrainingData, group: WorkerGroup
) -> dict[str, float]:
    """Metrics of the validation split, and the seconds that they took."""
    started = time.perf_counter()
    with _served(model):
        scores = score(model, data.splits["val"], group=group)
    summary = summarize(scores, num_classes=data.num_classes)
    metrics = {f"val/{key}": value for key, value in summary.items()}
    return {**metrics, "time/validation_s": time.perf_counter() - started}


@contextmanager
def _served(model: RecurrentClassifier) -> Iterator[None]:
    """The model as it is served: without dropout, in float32."""
    model.eval()
    with served_precision():
        yield
    model.train()


def _tested_outcome(
    config: ExperimentConfig,
    model: RecurrentClassifier,
    data: TrainingData,
    group: WorkerGroup,
    *,
    state: TrainState,
    best: dict[str, Tensor],
) -> Outcome:
    """Tests the weights of the best epoch, if there is a test split."""
    assert state.clip is not None
    index = best_epoch(config.training.metric, state.history)
    history = [dict(record) for record in state.history]
    num_classes = data.num_classes
    confusions, predictions = {}, {}
    if "test" in data.splits:
        model.load_state_dict(best)
        for split in ("val", "test"):
            scores, kept = _final_scores(model, data, split, group)
            confusions[split] = confusion(scores, num_classes=num_classes)
            if kept is not None:
                predictions[split] = kept
        summary = summarize(scores, num_classes=num_classes)
        history[index].update({f"test/{key}": value for key, value in summary.items()})
    return Outcome(
        history=history,
        best_epoch=index + 1,
        weights=on_host(best),
        losses=np.array(state.losses),
        norms=np.array(state.norms),
        clip=state.clip.as_dict(),
        confusions=confusions,
        predictions=predictions,
    )


def _final_scores(
    model: RecurrentClassifier, data: TrainingData, split: str, group: WorkerGroup
) -> tuple[Scores, Predictions | None]:
    rows, keys = data.splits[split], data.row_keys.get(split)
    with _served(model):
        if keys is None:
            return score(model, rows, group=group), None
        return score_and_keep(model, rows, row_keys=keys, class_names=data.class_names, group=group)
