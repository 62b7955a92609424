"""The training loop: the same code for one process and for many.

Knows neither Ray nor MLflow: data comes in as arrays, and events go out through `RunEvents`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.model import ModelConfig
from rnnlane.config.training import TrainingConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.file_split import ScoredSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.data.prepare.prepared import UNLABELED_SPLIT
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.models.from_language_model import apply_pretrained
from rnnlane.models.gpu_speed import slow_on_gpus
from rnnlane.models.vectors import apply_vectors
from rnnlane.records.events import RunEvents
from rnnlane.records.predictions import Predictions
from rnnlane.training.average import WeightAverage
from rnnlane.training.calibration import calibrate_clip
from rnnlane.training.checkpoint import Checkpointer, copied_weights, load_checkpoint, on_host
from rnnlane.training.class_weights import class_weights
from rnnlane.training.epoch import take_steps
from rnnlane.training.feed import TrainFeed
from rnnlane.training.graphs import graphs_for
from rnnlane.training.group import WorkerGroup
from rnnlane.training.metrics import Scores, confusion, score, score_and_keep, summarize
from rnnlane.training.monitor import EpochMonitor
from rnnlane.training.ngram_start import start_as_naive_bayes_
from rnnlane.training.precision import served_precision, training_precision
from rnnlane.training.schedule import best_epoch, should_stop
from rnnlane.training.state import TrainState
from rnnlane.training.step import Stepper, build_optimizer

TRAIN_AND_VAL = "train and val"
"""The split that a refit trains on: the rows of train, then those of val."""


@dataclass(frozen=True)
class TrainingData:
    """The input of a run; the arrays may be read-only and shared between workers.

    Attributes:
        splits: train, val and test; without test, as in a search, nothing is tested. With
            ``training.refit`` also :data:`TRAIN_AND_VAL`.
        num_classes: number of labels.
        streamed: what is trained on, where it is read from shards; it is then not among
            ``splits``.
        vocabulary_size: number of token ids.
        vectors: pretrained vectors float32 [V, E] and which tokens have one: bool [V].
        class_names: by label; without them classes cannot have weights.
        row_keys: of val and test, uint64 [N] each; without them no predictions are kept.
        word_keys: uint32 [V], see :attr:`Vocabulary.word_keys`; for models with n-grams.
        start: weights of a language model that a classifier starts from.
        token_counts: occurrences of each token id in what is learned from; for a language model.
    """

    splits: Mapping[str, ScoredSplit]
    num_classes: int
    vocabulary_size: int
    streamed: Mapping[str, StreamedSplit] = field(default_factory=dict)
    vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]] | None = None
    class_names: tuple[str, ...] = ()
    row_keys: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    word_keys: npt.NDArray[np.uint32] | None = None
    start: Mapping[str, Tensor] | None = None
    token_counts: tuple[int, ...] = ()

    def trained_on(self, split: str) -> EncodedSplit | StreamedSplit:
        """The rows of train, or of train and val."""
        return self.streamed.get(split) or self.rows_in_memory(split)

    def rows_in_memory(self, split: str) -> EncodedSplit:
        """The rows of a split that is not read piece by piece."""
        rows = self.splits[split]
        assert isinstance(rows, EncodedSplit)
        return rows

    def hasher(self, config: ModelConfig) -> NgramHasher | None:
        """Finds the n-grams that a model reads; None for one that reads none."""
        if config.ngrams is None:
            return None
        assert self.word_keys is not None
        return NgramHasher(config.ngrams.bits, config.ngrams.max_words, self.word_keys)


@dataclass(frozen=True)
class Outcome:
    """The result of a finished run; equal on every worker.

    After a refit the model is that of the refit; val is still answered by the best epoch's.

    Attributes:
        history: one record for each epoch; the best one's has the model's test metrics as well, if
            tested.
        best_epoch: its number, from 1.
        weights: of the model, so of the best epoch or of the refit; on the CPU.
        losses: float64 [steps of those epochs], mean over each global batch.
        norms: float64 [steps of those epochs], gradient norms before clipping.
        clip: max_norm, reason, and the calibration's statistics.
        confusions: on val and test, by split: int64 [C, C], rows true, columns predicted; empty if
            nothing was tested.
        predictions: by split; empty if nothing was tested or no row has a key. A worker other than
            the first leaves them behind.
        refit: one record for each epoch of the refit; see :class:`TrainState`.
    """

    history: list[dict[str, float]]
    best_epoch: int
    weights: dict[str, Tensor]
    losses: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]
    clip: dict[str, Any]
    confusions: dict[str, npt.NDArray[np.int64]] = field(repr=False)
    predictions: dict[str, Predictions] = field(default_factory=dict, repr=False)
    refit: list[dict[str, float]] = field(default_factory=list)


class TrainingLoop(Protocol):
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
    """Trains, validates after every epoch, refits if asked to, and tests once at the end.

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
    for note in slow_on_gpus(config) if group.device.type == "cuda" else ():
        events.note(note)
    with cpu_settings(group), training_precision(training):
        hasher = data.hasher(config.model)
        model = _initial_model(config, data, group, rows="train" if start is None else None)
        trainee = _Trainee(model, training, group=group, events=events)
        if start is not None:
            state, best = trainee.load(start)
        if not state.is_refit:
            with closing(_train_feed(config, data, "train", group)) as feed:
                state.keep_order(feed.row_order, begins=state.clip is None)
                measures_clip = state.clip is None and training.clip.policy == "auto"
                feed.expect(0 if measures_clip else state.epoch)
                if state.clip is None:
                    state.clip = calibrate_clip(config, model, feed, group=group, events=events)
                trainee.train_on(feed, num_epochs=training.epochs)
                while not is_over(training, state.history):
                    record, asked = trainee.train_epoch(state, best)
                    state.end_epoch(record | _validate(trainee.served, data, group, hasher))
                    if best_epoch(training.metric, state.history) == len(state.history) - 1:
                        best = copied_weights(trainee.served)
                    if asked or is_over(training, state.history):
                        trainee.checkpointer.save(state, best)
                    events.epoch(state.records)
        assert best is not None
        final = best
        if training.refit:
            num_epochs = best_epoch(training.metric, state.history) + 1
            events.note(_refit_note(training, num_epochs))
            if begins := not state.is_refit:
                state.begin_refit()
                model = _initial_model(config, data, group, rows=TRAIN_AND_VAL)
                trainee = _Trainee(model, training, group=group, events=events)
            with closing(_train_feed(config, data, TRAIN_AND_VAL, group)) as feed:
                state.keep_order(feed.row_order, begins=begins)
                feed.expect(state.number)
                trainee.train_on(feed, num_epochs=num_epochs)
                while len(state.refit) < num_epochs:
                    record, asked = trainee.train_epoch(state, best)
                    state.end_epoch(record)
                    if asked or len(state.refit) == num_epochs:
                        trainee.checkpointer.save(state, best)
                    events.epoch(state.records)
            final = copied_weights(trainee.served)
        return _tested_outcome(config, model, data, group, state=state, best=best, final=final)


def _refit_note(training: TrainingConfig, num_epochs: int) -> str:
    return (
        f"training again on train and val for {num_epochs} of {training.epochs} epochs, "
        f"as epoch {num_epochs} is the best by {training.metric}"
    )


class _Trainee:
    """What a training changes: weights, their average, and the optimizer's state.

    Attributes:
        model: has the weights that are trained.
        checkpointer: saves them.
    """

    def __init__(
        self,
        model: RecurrentClassifier,
        training: TrainingConfig,
        *,
        group: WorkerGroup,
        events: RunEvents,
    ):
        self.model = model
        self._training, self._group, self._events = training, group, events
        self._optimizer = build_optimizer(model, training)
        self._average = None if training.ema is None else WeightAverage(model, training.ema)
        self.checkpointer = Checkpointer(
            model,
            self._optimizer,
            events,
            every_s=training.checkpoint_every_s,
            average=self._average,
        )

    @property
    def served(self) -> RecurrentClassifier:
        """What is validated, tested and served."""
        return self.model if self._average is None else self._average.model

    def load(self, start: Path) -> tuple[TrainState, dict[str, Tensor] | None]:
        """Goes on from a checkpoint; returns where it stands and the best weights so far."""
        state, best = load_checkpoint(
            start, model=self.model, optimizer=self._optimizer, average=self._average
        )
        self._events.saved(state.records)
        self._events.epoch(state.records)
        return state, best

    def train_on(self, feed: TrainFeed, *, num_epochs: int) -> None:
        """Trains on these batches from now on; ``num_epochs`` at most, for the progress."""
        graphs = graphs_for(self._training, self._group.device, self._events)
        self._feed, self._num_epochs = feed, num_epochs
        self._stepper = Stepper(
            self.model,
            self._optimizer,
            self._training,
            group=self._group,
            average=self._average,
            graphs=graphs,
        )

    def train_epoch(
        self, state: TrainState, best: dict[str, Tensor] | None
    ) -> tuple[dict[str, float], bool]:
        """Takes the steps that are left of the epoch under way.

        Args:
            state: where the training stands; the steps are added.
            best: weights of the best epoch so far, for checkpoints.

        Returns:
            The epoch's record, without val, and whether a checkpoint is asked for.
        """
        training, feed = self._training, self._feed
        monitor = EpochMonitor(
            state,
            training,
            num_epochs=self._num_epochs,
            num_steps=feed.num_steps,
            events=self._events,
        )
        self._stepper.begin_epoch(state.number)
        rate, asked = take_steps(
            self._stepper,
            feed,
            monitor=monitor,
            device=self._group.device,
            checkpointer=self.checkpointer,
            save=lambda: self.checkpointer.save(state, best),
        )
        return state.epoch_record(num_rows=feed.num_rows, rate=rate), asked


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
    config: ExperimentConfig, data: TrainingData, group: WorkerGroup, *, rows: str | None
) -> RecurrentClassifier:
    """A model before its first step.

    Args:
        config, data, group: see :func:`run_training`.
        rows: the split that it will be trained on; None if a checkpoint is loaded into it.
    """
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
    hasher = data.hasher(config.model)
    if model.ngrams is not None and hasher is not None and rows is not None:
        start_as_naive_bayes_(model.ngrams, data.trained_on(rows), hasher, group=group)
    model = model.to(group.device)
    for tensor in model.state_dict().values():
        # CPUs of different kinds need not generate the same numbers from the same seed.
        group.copy_from_first_(tensor)
    return model


def _train_feed(
    config: ExperimentConfig, data: TrainingData, split: str, group: WorkerGroup
) -> TrainFeed:
    rows, names = data.trained_on(split), data.class_names
    return TrainFeed(
        rows,
        config.training,
        seed=config.training_seed,
        vocabulary_size=data.vocabulary_size,
        group=group,
        class_weights=class_weights(
            config.training.class_weights, rows.class_counts(data.num_classes), names
        ),
        hasher=data.hasher(config.model),
        unlabeled=data.rows_in_memory(UNLABELED_SPLIT) if config.training.reads_unlabeled else None,
    )


def _validate(
    model: RecurrentClassifier, data: TrainingData, group: WorkerGroup, hasher: NgramHasher | None
) -> dict[str, float]:
    """Metrics of the validation split, and the seconds that they took."""
    started = time.perf_counter()
    with _served(model):
        scores = score(model, data.splits["val"], group=group, hasher=hasher)
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
    final: dict[str, Tensor],
) -> Outcome:
    """Answers val with the weights of the best epoch and test with the final ones, if there is one.

    They are the same but for a refit, which has trained on val.
    """
    assert state.clip is not None
    index = best_epoch(config.training.metric, state.history)
    history = [dict(record) for record in state.history]
    num_classes = data.num_classes
    confusions, predictions = {}, {}
    if "test" in data.splits:
        for split, weights in (("val", best), ("test", final)):
            model.load_state_dict(weights)
            scores, kept = _final_scores(model, data, split, group, data.hasher(config.model))
            confusions[split] = confusion(scores, num_classes=num_classes)
            if kept is not None:
                predictions[split] = kept
        summary = summarize(scores, num_classes=num_classes)
        history[index].update({f"test/{key}": value for key, value in summary.items()})
    return Outcome(
        history=history,
        best_epoch=index + 1,
        weights=on_host(final),
        losses=np.array(state.losses[: state.steps_before_refit]),
        norms=np.array(state.norms[: state.steps_before_refit]),
        clip=state.clip.as_dict(),
        confusions=confusions,
        predictions=predictions,
        refit=state.refit,
    )


def _final_scores(
    model: RecurrentClassifier,
    data: TrainingData,
    split: str,
    group: WorkerGroup,
    hasher: NgramHasher | None,
) -> tuple[Scores, Predictions | None]:
    rows, keys = data.splits[split], data.row_keys.get(split)
    with _served(model):
        if keys is None:
            return score(model, rows, group=group, hasher=hasher), None
        return score_and_keep(
            model,
            rows,
            row_keys=keys,
            class_names=data.class_names,
            group=group,
            hasher=hasher,
        )
